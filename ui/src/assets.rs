//! Embedded static files. Their address carries a hash of all of them, so they are cached for ever
//! and modules can import each other by relative path.

use std::io::Write as _;
use std::sync::{LazyLock, OnceLock};

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

struct Asset {
    name: &'static str,
    mime: &'static str,
    plain: &'static [u8],
    /// Made when it is first asked for: all of them would take longer than the rest of a start.
    gzip: OnceLock<Option<Vec<u8>>>,
    tag: String,
}

macro_rules! assets {
    ($($name:literal: $mime:literal,)*) => {
        &[$(($name, $mime, include_bytes!(concat!("../assets/", $name)).as_slice()),)*]
    };
}

const FILES: &[(&str, &str, &[u8])] = assets! {
    "tokens.css": "text/css; charset=utf-8",
    "app.css": "text/css; charset=utf-8",
    "trace.css": "text/css; charset=utf-8",
    "sql.css": "text/css; charset=utf-8",
    "icons.svg": "image/svg+xml",
    "favicon.svg": "image/svg+xml",
    "js/app.js": "text/javascript; charset=utf-8",
    "js/dom.js": "text/javascript; charset=utf-8",
    "js/format.js": "text/javascript; charset=utf-8",
    "js/charts.js": "text/javascript; charset=utf-8",
    "js/heatmap.js": "text/javascript; charset=utf-8",
    "js/spark.js": "text/javascript; charset=utf-8",
    "js/trace.js": "text/javascript; charset=utf-8",
    "js/trace-model.js": "text/javascript; charset=utf-8",
    "js/trace-panel.js": "text/javascript; charset=utf-8",
    "js/sql.js": "text/javascript; charset=utf-8",
    "js/sql-editor.js": "text/javascript; charset=utf-8",
    "js/sql-result.js": "text/javascript; charset=utf-8",
    "vendor/uplot.min.js": "text/javascript; charset=utf-8",
    "vendor/uplot.min.css": "text/css; charset=utf-8",
    "vendor/codemirror.js": "text/javascript; charset=utf-8",
    "vendor/LICENSE-uplot.txt": "text/plain; charset=utf-8",
    "vendor/LICENSE-lucide.txt": "text/plain; charset=utf-8",
    "vendor/LICENSE-codemirror.txt": "text/plain; charset=utf-8",
    "vendor/THIRD-PARTY.md": "text/plain; charset=utf-8",
};

struct Bundle {
    hash: String,
    files: Vec<Asset>,
}

static BUNDLE: LazyLock<Bundle> = LazyLock::new(|| {
    let mut tags = String::new();
    let mut files = Vec::with_capacity(FILES.len());
    for &(name, mime, plain) in FILES {
        let tag = format!("\"{:032x}\"", xxh3_128(plain));
        tags.push_str(name);
        tags.push_str(&tag);
        files.push(Asset { name, mime, plain, gzip: OnceLock::new(), tag });
    }
    Bundle { hash: format!("{:016x}", xxh3_64(tags.as_bytes())), files }
});

impl Asset {
    /// Compressed; `None` where that does not pay.
    fn packed(&self) -> Option<&[u8]> {
        self.gzip.get_or_init(|| gzip(self.plain)).as_deref()
    }
}

/// `None` where compression does not pay.
fn gzip(plain: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() + 200 < plain.len()).then_some(packed)
}

/// Where the asset of this name is served.
#[must_use]
pub(crate) fn address(name: &str) -> String {
    format!("/assets/{}/{name}", BUNDLE.hash)
}

/// `GET /assets/{hash}/{*name}`. A hash of another build gets today's file, uncached.
pub(crate) async fn serve(
    Path((hash, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let Some(asset) = BUNDLE.files.iter().find(|a| a.name == name) else {
        return (StatusCode::NOT_FOUND, "no such asset\n").into_response();
    };
    let cache =
        if hash == BUNDLE.hash { "public, max-age=31536000, immutable" } else { "no-cache" };
    let text = |name: header::HeaderName| {
        headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    };
    let same = text(header::IF_NONE_MATCH).split(',').any(|t| {
        let t = t.trim();
        t == "*" || t.trim_start_matches("W/") == asset.tag
    });
    let zipped = accepts_gzip(text(header::ACCEPT_ENCODING)).then(|| asset.packed()).flatten();
    let mut response = match (same, zipped) {
        (true, _) => StatusCode::NOT_MODIFIED.into_response(),
        (false, Some(packed)) => packed.to_vec().into_response(),
        (false, None) => asset.plain.into_response(),
    };
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.mime));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Ok(tag) = HeaderValue::from_str(&asset.tag) {
        out.insert(header::ETAG, tag);
    }
    if zipped.is_some() && !same {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Whether `Accept-Encoding` admits gzip: named (or `*`) and not with weight zero.
fn accepts_gzip(accept: &str) -> bool {
    accept.split(',').any(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let refused = weight
            .trim()
            .strip_prefix("q=")
            .is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
        matches!(name.trim(), "gzip" | "*") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_negotiated() {
        assert!(accepts_gzip("br, gzip;q=0.5"));
        assert!(accepts_gzip("*"));
        assert!(!accepts_gzip("gzip;q=0, br"));
        assert!(!accepts_gzip(""));
    }

    #[test]
    fn packed_files_unpack_to_themselves() {
        use std::io::Read as _;
        for asset in &BUNDLE.files {
            let Some(packed) = asset.packed() else { continue };
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(packed).read_to_end(&mut plain).unwrap();
            assert!(plain == asset.plain, "{}", asset.name);
        }
    }

    #[test]
    fn nothing_shipped_loads_from_elsewhere() {
        for asset in BUNDLE.files.iter().filter(|a| !a.name.starts_with("vendor/")) {
            let text = String::from_utf8_lossy(asset.plain).replace("http://www.w3.org/", "");
            assert!(!text.contains("http://") && !text.contains("https://"), "{}", asset.name);
        }
    }
}
