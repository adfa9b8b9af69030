use super::*;

#[test]
fn an_empty_oracle_knows_nothing() {
    let oracle = Oracle::new();
    assert_eq!(oracle.span_count(), 0);
    assert_eq!(oracle.logs_with_term("x"), Some(0));
    assert!(oracle.top_services(By::Calls, Kinds::All, 3).is_empty());
}
