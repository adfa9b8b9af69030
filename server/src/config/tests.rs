use std::io::Write as _;
use std::time::Duration;

use super::*;

fn args(file: Option<&Path>) -> ConfigArgs {
    ConfigArgs { config: file.map(Path::to_owned), ..ConfigArgs::default() }
}

fn resolve(args: &ConfigArgs, env: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let (settings, mut mistakes) = Settings::read(args, env);
    let config = settings.resolve(&mut mistakes);
    if mistakes.is_empty() { Ok(config.unwrap()) } else { Err(mistakes) }
}

#[test]
fn defaults_are_valid_and_equal_the_crates() {
    let config = resolve(&args(None), &[]).unwrap();
    let crates = StorageConfig::new("./headrope-data".into());
    assert_eq!(config.storage, crates);
    assert_eq!(config.collector, CollectorConfig::default());
}

#[test]
fn later_sources_win() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(
        file,
        "[storage]\nflush_age = \"7s\"\nflush_bytes = 1000\n[server]\nlisten = \"127.0.0.1:1\""
    )
    .unwrap();
    let mut args = args(Some(file.path()));
    args.listen = Some("127.0.0.1:3".parse().unwrap());
    let env = [("HEADROPE_STORAGE__FLUSH_AGE", "9s"), ("HEADROPE_SERVER__LISTEN", "127.0.0.1:2")];
    let config = resolve(&args, &env).unwrap();
    assert_eq!(config.storage.flush_age, Duration::from_secs(9));
    assert_eq!(config.storage.flush_bytes, 1000);
    assert_eq!(config.listen.port(), 3);
}

#[test]
fn every_mistake_is_reported_at_once() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "[storage]\nflush_age = \"soon\"\nnope = 1\n[elsewhere]\nx = 2").unwrap();
    let env = [("HEADROPE_QUERY__TIMEOUT", "1 fortnight"), ("HEADROPE_WHAT__EVER", "1")];
    let mistakes = resolve(&args(Some(file.path())), &env).unwrap_err();
    for part in ["storage.nope", "elsewhere.x", "what.ever", "\"soon\"", "fortnight"] {
        assert!(mistakes.iter().any(|m| m.contains(part)), "{part} in {mistakes:?}");
    }
    assert_eq!(mistakes.len(), 5, "{mistakes:?}");
}

#[test]
fn sizes_and_durations() {
    assert_eq!(parse_bytes("128MiB"), Some(128 << 20));
    assert_eq!(parse_bytes("5"), Some(5));
    assert_eq!(parse_bytes("5 parsecs"), None);
    assert_eq!(parse_bytes("99999999999TiB"), None);
    assert_eq!(parse_duration("14d"), Some(Duration::from_secs(14 * 86_400)));
    assert_eq!(parse_duration("-1s"), None);
}
