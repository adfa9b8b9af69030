//! Why a record or a request was not stored. The set is closed: it is a metric label and the text
//! a client reads in a partial success.

use std::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $label:literal : $text:literal),+ $(,)?) => {
        /// Why a record or a whole request was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum RefuseReason { $($(#[$doc])* $variant),+ }

        impl RefuseReason {
            /// Every reason, for counters that must exist before the first refusal.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Metric label: lower-case snake case.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label),+ }
            }

            /// One sentence for the client: what is wrong and what to send instead.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

reasons! {
    /// The trace id has the wrong length or is all zero.
    InvalidTraceId = "invalid_trace_id": "trace_id must be 16 bytes and not all zero",
    /// The span id has the wrong length or is all zero.
    InvalidSpanId = "invalid_span_id": "span_id must be 8 bytes and not all zero",
    /// The parent span id has the wrong length.
    InvalidParentSpanId = "invalid_parent_span_id": "parent_span_id must be empty or 8 bytes",
    /// A link carries ids of the wrong length.
    InvalidLink = "invalid_link": "a link needs a 16-byte trace_id and an 8-byte span_id",
    /// A time is missing or does not fit 63 bits of nanoseconds.
    InvalidTime = "invalid_time": "times must be Unix nanoseconds above zero and below 2^63",
    /// The span ends before it starts.
    EndBeforeStart = "end_before_start": "end_time_unix_nano must not be before start_time_unix_nano",
    /// One record is larger than the limit.
    RecordTooLarge = "record_too_large": "one record may be at most max_record_bytes; shorten its attributes or body",
    /// Attribute values are nested deeper than the limit.
    TooDeep = "too_deep": "attribute values may be nested at most 32 levels deep",
    /// A metric data point carries no value, or a metric no data.
    EmptyMetric = "empty_metric": "a metric needs a name and data points with values",
    /// A histogram's buckets and bounds disagree.
    InvalidHistogram = "invalid_histogram": "explicit_bounds must increase and bucket_counts must be one longer (or both empty); an exponential histogram needs a scale from -10 to 20 and bucket indexes of 32 bits",
    /// The request body is not the protobuf or JSON it claims to be.
    Malformed = "malformed": "the body is not a valid OTLP request",
    /// The compressed body is damaged or truncated.
    BadCompression = "bad_compression": "the body does not match its Content-Encoding",
    /// The body is larger than the message limit, compressed or not.
    MessageTooLarge = "message_too_large": "the request is larger than the message limit; send smaller batches",
    /// Unknown content type.
    UnsupportedMediaType = "unsupported_media_type": "send application/x-protobuf or application/json",
    /// Unknown content encoding.
    UnsupportedEncoding = "unsupported_encoding": "use Content-Encoding gzip, zstd or identity",
    /// The memory budget is used up: retry later.
    OverBudget = "over_budget": "the server is over its memory budget; retry after the given delay",
    /// The disk cannot take more: retry later.
    DiskFull = "disk_full": "the server's disk is full or read-only; retry later",
    /// A tenant sends more than its rate: retry later.
    RateLimited = "rate_limited": "the rate limit is reached; retry after the given delay",
    /// Storage failed and nothing was kept: retry later.
    StorageFailed = "storage_failed": "the server could not store the request and kept nothing of it; retry later",
    /// The body did not arrive in time.
    RequestTimeout = "request_timeout": "the request body did not arrive in time; send smaller batches or compress them",
    /// The client left before the whole request had arrived.
    Aborted = "aborted": "the connection ended before the whole request had arrived",
    /// The server is shutting down: retry elsewhere or later.
    ShuttingDown = "shutting_down": "the server is shutting down; retry later",
}

impl fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.advice())
    }
}
