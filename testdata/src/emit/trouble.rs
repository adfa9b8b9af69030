//! Exceptions as each language writes them.

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::Event;

use crate::attrs::Attrs;
use crate::catalogue::mishaps::Mishap;
use crate::catalogue::services::{Language, Service};
use crate::simulate::{Shape, SpanRecord};

/// Exception attributes for a span event or a log record; the stack only where the mishap arose.
pub(super) fn exception(
    mishap: Mishap,
    service: &Service,
    what: &str,
    stack: bool,
) -> Vec<KeyValue> {
    let kind = mishap.type_in(service.language);
    let message = mishap.facts().message;
    let mut attrs = Attrs::with_capacity(3);
    attrs.text("exception.type", kind).text("exception.message", message);
    if stack {
        attrs.text("exception.stacktrace", trace(service, kind, message, what));
    }
    attrs.take()
}

/// The exception event of a failed span.
pub(super) fn event(span: &SpanRecord, mishap: Mishap, what: &str) -> Event {
    Event {
        time_unix_nano: super::unix(span.end_ns - (span.end_ns - span.start_ns) / 50),
        name: "exception".to_owned(),
        attributes: exception(mishap, span.home.instance.service(), what, span.origin),
        dropped_attributes_count: 0,
    }
}

/// What the client library of the payment provider reports.
pub(super) fn charge_error(shape: Shape, mishap: Mishap) -> Option<&'static str> {
    match (shape, mishap) {
        (Shape::Charge(_), Mishap::Timeout) => Some("java.net.http.HttpTimeoutException"),
        (Shape::Charge(_), _) => Some("503"),
        _ => None,
    }
}

fn trace(service: &Service, kind: &str, message: &str, what: &str) -> String {
    let name = service.name;
    let short = name.replace('-', "");
    let line = what.len() * 7 + 11;
    match service.language {
        Language::Java => format!(
            "{kind}: {message}\n\tat com.shop.{short}.Handler.handle(Handler.java:{line})\n\tat com.shop.{short}.Controller.invoke(Controller.java:88)\n\tat org.springframework.web.servlet.DispatcherServlet.doDispatch(DispatcherServlet.java:1089)\n\tat org.apache.catalina.core.ApplicationFilterChain.doFilter(ApplicationFilterChain.java:142)\n\tat java.base/java.lang.VirtualThread.run(VirtualThread.java:309)"
        ),
        Language::Python => format!(
            "Traceback (most recent call last):\n  File \"/app/{short}/server.py\", line {line}, in handle\n    return self.run(request)\n  File \"/app/{short}/model.py\", line 214, in run\n    row = rows[key].value\n{kind}: {message}"
        ),
        Language::Go => format!(
            "goroutine 4182 [running]:\nshop/{short}/internal/server.(*Server).Handle(0xc0001a2000)\n\t/src/internal/server/server.go:{line} +0x1d4\ngoogle.golang.org/grpc.(*Server).processUnaryRPC(0xc0000d8000)\n\t/go/pkg/mod/google.golang.org/grpc@v1.69.2/server.go:1400 +0xdfe"
        ),
        Language::Node => format!(
            "{kind}: {message}\n    at handle (/app/src/{name}.js:{line}:17)\n    at process.processTicksAndRejections (node:internal/process/task_queues:105:5)\n    at async /app/src/router.js:52:5"
        ),
        Language::Dotnet => format!(
            "{kind}: {message}\n   at Shop.Cart.CartService.HandleAsync(HttpContext context) in /src/CartService.cs:line {line}\n   at Microsoft.AspNetCore.Routing.EndpointMiddleware.Invoke(HttpContext httpContext)"
        ),
        Language::Ruby => format!(
            "/app/lib/{short}.rb:{line}:in `handle': {message} ({kind})\n\tfrom /usr/local/bundle/gems/rack-3.1.8/lib/rack/builder.rb:299:in `call'\n\tfrom /usr/local/bundle/gems/puma-6.5.0/lib/puma/thread_pool.rb:166:in `block in spawn_thread'"
        ),
        Language::Rust | Language::Nginx => {
            format!("{kind}: {message}\n   0: {short}::handle\n             at src/main.rs:{line}")
        }
    }
}
