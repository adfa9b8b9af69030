//! The verdict.

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::args::Args;
use super::problem::Problem;
use crate::Queries;
use crate::answer::verdict::VerdictQuery;

/// How the answer is written.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Json,
    Markdown,
}

pub(super) async fn verdict(
    State(queries): State<Queries>,
    mut args: Args,
) -> Result<Response, Problem> {
    let format = args.word("format", "json, markdown")?;
    let query = VerdictQuery {
        reference: args.reference()?,
        service: args.text("service")?,
        operation: args.text("operation")?,
        range: args.range()?,
    };
    args.end()?;
    let found = queries.verdict(&query).await?;
    Ok(match format {
        Format::Json => Json(found).into_response(),
        Format::Markdown => {
            ([(CONTENT_TYPE, "text/markdown; charset=utf-8")], found.markdown()).into_response()
        }
    })
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode};
    use tower::ServiceExt as _;

    use crate::api::{ApiConfig, router};
    use crate::tests::{Placed, seeded};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_verdict_is_a_card_too() {
        let data = seeded(Placed::Live).await;
        let api = router(data.queries.clone(), ApiConfig::default());
        let range = format!("from={}&to={}", data.range.from(), data.range.to());
        let ask = |format: &str| {
            let uri = format!("/api/v1/verdict?format={format}&{range}");
            api.clone().oneshot(Request::get(uri).body(Body::empty()).unwrap())
        };
        let response = ask("markdown").await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/markdown; charset=utf-8");
        let card = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let json = ask("json").await.unwrap();
        let json = to_bytes(json.into_body(), usize::MAX).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let heading = format!("# {}\n", json["summary"].as_str().unwrap());
        assert!(card.starts_with(heading.as_bytes()), "{}", String::from_utf8_lossy(&card));
        assert_eq!(ask("xml").await.unwrap().status(), StatusCode::BAD_REQUEST);
    }
}
