use super::*;

const JAVA: &str = "java.lang.IllegalStateException: no stock\n\tat com.shop.Stock.take(Stock.java:42)\n\tat com.shop.Cart.lambda$order$3(Cart.java:7)\n\tat java.base/java.util.ArrayList.forEach(ArrayList.java:1511)\n\t... 12 more\nCaused by: x";
const PYTHON: &str = "Traceback (most recent call last):\n  File \"/app/shop/views.py\", line 12, in order\n    take(1)\n  File \"/app/shop/stock.py\", line 99, in take\n    raise ValueError(1)\nValueError: no";
const NODE: &str = "Error: no\n    at Stock.take (/app/stock.js:3:9)\n    at async /app/server.js:10:2\n    at node:internal/timers:12:3";
const DOTNET: &str =
    "   at Shop.Stock.Take(Int32 n) in /src/Stock.cs:line 12\n   at Shop.Cart.Order()";
const GO: &str = "panic: no\n\ngoroutine 7 [running]:\nshop/stock.(*Stock).Take(0xc000012345, 0x1)\n\t/app/stock.go:12 +0x1d\nmain.main()\n\t/app/main.go:5 +0x25\n";
const RUBY: &str = "app/stock.rb:12:in `take'\nfrom app/cart.rb:3:in `order'";
const PHP: &str =
    "#0 /app/stock.php(12): Stock->take(1)\n#1 /app/cart.php(3): Cart->order()\n#2 {main}";
const RUST: &str = "   0: shop::stock::take::h0123456789abcdef\n             at /app/src/stock.rs:12:3\n   1: shop::main\n             at ./src/main.rs:5:5";

/// The text with its line numbers, addresses and hashes changed.
fn moved(text: &str) -> String {
    text.replace("0123456789abcdef", "fedcba9876543210")
        .replace("0xc000012345", "0xc0000abcde")
        .replace("12", "1234")
        .replace(":42", ":43")
        .replace("line 99", "line 3")
}

#[test]
fn stack_traces_become_functions() {
    for (trace, want) in [
        (
            JAVA,
            &[
                "com.shop.Stock.take",
                "com.shop.Cart.lambda$order$<num>",
                "java.util.ArrayList.forEach",
            ][..],
        ),
        (PYTHON, &["stock.py:take", "views.py:order"]),
        (NODE, &["Stock.take", "server.js", "timers"]),
        (DOTNET, &["Shop.Stock.Take", "Shop.Cart.Order"]),
        (GO, &["shop/stock.(*Stock).Take", "main.main"]),
        (RUBY, &["stock.rb:take", "cart.rb:order"]),
        (PHP, &["Stock->take", "Cart->order", "{main}"]),
        (RUST, &["shop::stock::take", "shop::main"]),
        ("nothing of the kind", &[]),
    ] {
        let group = error_group("E", "m", trace);
        assert_eq!(group.frames, want, "{trace}");
        let other = error_group("E", "m", &moved(trace));
        assert_eq!(other, group, "{trace}");
    }
}

#[test]
fn groups_differ_by_type_message_and_place_but_not_by_values() {
    let id = |kind: &str, message: &str, trace: &str| error_group(kind, message, trace).id;
    let one = id("NoStock", "item 17 is gone\ndetails 1", JAVA);
    assert_eq!(id("NoStock", "item 4 is gone\nother details", JAVA), one);
    assert_ne!(id("NoStock", "item 17 is lost", JAVA), one);
    assert_ne!(id("Other", "item 17 is gone", JAVA), one);
    assert_ne!(id("NoStock", "item 17 is gone", GO), one);
    assert_ne!(id("ab", "c", ""), id("a", "bc", ""));
    // Only the top of the stack counts.
    let deep = |tail: &str| {
        let frames: String = (0..TOP_FRAMES)
            .map(|i| format!("\tat a.B.{}(B.java:1)\n", ["f", "g", "h", "i", "k"][i]))
            .collect();
        error_group("E", "", &(frames + tail))
    };
    assert_eq!(deep("\tat x.Y.z(Y.java:1)"), deep(""));
}

proptest! {
    #[test]
    fn any_text_has_a_group(kind in ".{0,20}", message in ".{0,60}", trace in "(?s).{0,200}") {
        let group = error_group(&kind, &message, &trace);
        prop_assert_eq!(error_group(&kind, &message, &trace), group);
    }

    #[test]
    fn broken_stack_traces_do_no_harm(which in 0usize..8, from in 0usize..200, to in 0usize..200) {
        let trace = [JAVA, PYTHON, NODE, DOTNET, GO, RUBY, PHP, RUST][which];
        let group = error_group("E", "m", trace.get(from..to.max(from)).unwrap_or(trace));
        prop_assert!(group.frames.len() <= TOP_FRAMES);
        prop_assert!(group.frames.iter().all(|f| !f.is_empty()));
    }
}
