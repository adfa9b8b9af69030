//! Serves the pages over fixed answers, to look at them without storage:
//! `cargo run --release -p headrope-ui --example preview -- --port 8099`.
#![allow(clippy::unwrap_used, reason = "a development tool")]

#[path = "../tests/fixture/mod.rs"]
mod fixture;

use std::sync::Arc;

use fixture::{Fixture, Mood, NOW};
use headrope_ui::{UiConfig, router};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        args.iter().position(|a| a == name).and_then(|at| args.get(at + 1)).map(String::as_str)
    };
    let mood = match after("--mood") {
        Some("empty") => Mood::Empty,
        Some("slow") => Mood::Slow,
        Some("broken") => Mood::Broken,
        _ => Mood::Shop,
    };
    let config = UiConfig {
        clock: || NOW,
        banner: args.iter().any(|a| a == "--banner").then(|| "Fixed answers, not data.".to_owned()),
        ..UiConfig::default()
    };
    let app = router(Arc::new(Fixture(mood)), config)
        .route("/api/v1/sql", axum::routing::post(fixture::sql));
    let port = after("--port").unwrap_or("0");
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    axum::serve(listener, app).await.unwrap();
}
