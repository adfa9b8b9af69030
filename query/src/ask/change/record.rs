//! Changes that people and their tools tell, kept as OTLP events.

use headrope_model::TimeRange;
use headrope_model::time::now_ns;
use headrope_storage::{AppendError, Engine, Event, Submission};

use crate::answer::Time;
use crate::answer::change::{ChangeRow, NewChange, Recorded};
use crate::ask::{in_range, text};
use crate::column::{Columns, int0};
use crate::engine::Session;
use crate::error::QueryError;
use crate::moment;

/// The scope of events that were recorded here.
const SCOPE: &str = "headrope.changes";
/// The attribute that holds the link.
const LINK: &str = "url.full";
/// Longest text and longest name, in bytes.
const MOST_TEXT: usize = 16 << 10;
const MOST_NAME: usize = 1 << 10;
/// Most events that are read.
const MOST_ROWS: usize = 1_000;

/// Records a change; when this returns, it is durable, and asked for it is found.
pub(crate) async fn record(engine: &Engine, change: NewChange) -> Result<ChangeRow, QueryError> {
    let now = now_ns();
    let row = checked(change, now)?;
    let unsigned = |ns: i64| u64::try_from(ns).unwrap_or_default();
    let time = row.time.map_or(now, |time| time.0);
    let pairs = |pairs: &[(&'static str, &Option<String>)]| {
        let told = pairs.iter().filter_map(|(key, value)| Some((*key, value.as_ref()?.clone())));
        told.collect::<Vec<_>>()
    };
    let event = Event {
        name: row.kind.to_owned(),
        time_ns: unsigned(time),
        observed_ns: unsigned(now),
        scope: SCOPE,
        resource: pairs(&[("service.name", &row.service), ("service.version", &row.version)]),
        attributes: pairs(&[(LINK, &row.link)]),
        body: row.text.clone(),
    };
    let submission = Submission::from(event);
    let refused = |error: AppendError| match error {
        AppendError::Retry { reason, .. } => QueryError::Busy(reason.to_string()),
        AppendError::Failed(error) => QueryError::Engine(error.to_string()),
    };
    let permit = engine.admit(submission.payload().len()).map_err(refused)?;
    engine.append(permit, submission).await.map_err(refused)?;
    Ok(row)
}

/// A change as it will be stored.
fn checked(change: NewChange, now: i64) -> Result<ChangeRow, QueryError> {
    let wrong = |detail: String| Err(QueryError::Invalid(detail));
    let short =
        [("service", &change.service), ("version", &change.version), ("link", &change.link)];
    for (name, value) in short {
        if value.as_ref().is_some_and(|value| value.len() > MOST_NAME || value.is_empty()) {
            return wrong(format!(
                "{name} must have 1 to {MOST_NAME} bytes; leave it out or shorten it"
            ));
        }
    }
    if change.text.as_ref().is_some_and(|text| text.len() > MOST_TEXT) {
        return wrong(format!("text has more than {MOST_TEXT} bytes; shorten it, and give a link"));
    }
    let is_link = |link: &String| link.starts_with("https://") || link.starts_with("http://");
    if change.link.as_ref().is_some_and(|link| !is_link(link)) {
        return wrong("link must begin with https:// or http://".to_owned());
    }
    let time = match &change.time {
        None => now,
        Some(text) => {
            moment::parse(text, now).map_err(|why| QueryError::Invalid(format!("time: {why}")))?
        }
    };
    if time <= 0 {
        return wrong("time is before 1970; give the time of the change".to_owned());
    }
    Ok(ChangeRow {
        kind: change.kind.name(),
        recorded: true,
        time: Some(Time(time)),
        service: change.service,
        version: change.version,
        instance: None,
        text: change.text.unwrap_or_default(),
        link: change.link,
        trace_id: None,
        count: 0,
    })
}

/// Changes that were told: events with the names of [`Recorded`], also those that came by OTLP. Of a service only its own and
/// those of no service.
pub(super) async fn recorded(
    session: &Session,
    range: TimeRange,
    service: Option<&str>,
) -> Result<Vec<ChangeRow>, QueryError> {
    let names = Recorded::ALL.map(|kind| format!("'{}'", kind.name())).join(", ");
    let mut params = in_range(range);
    let mut and = String::new();
    if let Some(service) = service {
        and.push_str(" AND service_name IN ($service, $nobody)");
        params.extend([
            ("service", text(service)),
            ("nobody", text(headrope_model::semconv::UNKNOWN_SERVICE)),
        ]);
    }
    let sql = format!(
        "SELECT time, event_name, service_name, service_version, service_instance_id, body, trace_id, \
         attr(attributes, '{LINK}') AS link FROM logs \
         WHERE time >= $from AND time < $to AND event_name IN ({names}){and} ORDER BY time LIMIT {MOST_ROWS}"
    );
    let mut found = Vec::new();
    for batch in session.rows(&sql, params).await? {
        let columns = Columns(&batch);
        let text = |name: &str| columns.texts(name);
        let (times, names, services) =
            (columns.ints("time")?, text("event_name")?, text("service_name")?);
        let (versions, instances) = (text("service_version")?, text("service_instance_id")?);
        let (bodies, traces, links) = (text("body")?, text("trace_id")?, text("link")?);
        for row in 0..batch.num_rows() {
            let known = Recorded::ALL.into_iter().find(|kind| kind.name() == names.text(row));
            let Some(kind) = known else { continue };
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let named = |name: &&str| *name != headrope_model::semconv::UNKNOWN_SERVICE;
            found.push(ChangeRow {
                kind: kind.name(),
                recorded: true,
                time: Some(Time(int0(&times, row))),
                service: owned(services.get(row).filter(named)),
                version: owned(versions.get(row)),
                instance: owned(instances.get(row)),
                text: bodies.owned(row),
                link: owned(links.get(row)),
                trace_id: owned(traces.get(row)),
                count: 0,
            });
        }
    }
    Ok(found)
}
