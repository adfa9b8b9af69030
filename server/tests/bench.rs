//! The benchmarks as a user starts them, over little data: every question has the answer that follows
//! from what was sent, and every acknowledged record is found. Times are not looked at.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::process::Command;

use serde_json::Value;

/// Runs `headrope bench` and gives back its figures.
fn bench(arguments: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("figures.json");
    let output = Command::new(env!("CARGO_BIN_EXE_headrope"))
        .args(["--log", "warn", "bench"])
        .args(arguments.split(' '))
        .arg("--data-dir")
        .arg(dir.path().join("data"))
        .arg("--json")
        .arg(&json)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments}: {}\n{out}\n{err}", output.status);
    serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap()
}

#[test]
fn every_answer_is_the_one_that_follows_from_what_was_sent() {
    // Two rounds and a part of a third.
    let size = "--records 5000 --distinct 2000 --batch 500 --repeat 12 --patience 3600 --starts 0";
    let check = |workload: &str, kinds: usize| {
        let figures = bench(&format!("query --workload {workload} {size}"));
        let rows = figures["rows"].as_array().unwrap();
        assert!(rows.len() >= kinds, "{workload}: {} kinds", rows.len());
        for row in rows {
            assert_eq!(row["warm"]["right"], 12, "{workload}: {row}");
        }
        assert!(figures["disk_bytes"]["catalog"].as_u64().unwrap() > 0);
    };
    // Most of the time is waiting until a server is idle.
    std::thread::scope(|scope| {
        for (workload, kinds) in [("shop", 11), ("jaeger", 11), ("wide", 13), ("logs", 5)] {
            scope.spawn(move || check(workload, kinds));
        }
    });
}

#[test]
fn every_workload_is_found_again() {
    let size = "--records 5000 --distinct 2000 --batch 500 --idle-seconds 1 --query-rate 5";
    let check = |workload: &str, part: &str| {
        let figures = bench(&format!("ingest --workload {workload} {size} --connections 2"));
        assert_eq!(figures["found"], figures["records"], "{workload}");
        assert!(figures["disk_bytes"][part].as_u64().unwrap() > 0, "{workload}");
        assert!(figures["raw_bytes"].as_u64().unwrap() > 0);
    };
    std::thread::scope(|scope| {
        for (workload, part) in
            [("adversarial", "spans"), ("logs", "index"), ("shop --signal logs", "logs")]
        {
            scope.spawn(move || check(workload, part));
        }
    });
}
