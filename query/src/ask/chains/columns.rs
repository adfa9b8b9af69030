//! Columns of spans as they are stored, with texts that are made once for each value of a dictionary.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array as _, ArrayRef, AsArray as _, DictionaryArray, FixedSizeBinaryArray, Int64Array,
    RecordBatch,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int32Type, Int64Type};
use foldhash::fast::RandomState;
use headrope_analysis::ledger::Peer;
use headrope_analysis::{SpanKind, SpanRecord, SpanStatus};
use headrope_model::{SpanId, TraceId};

use super::{Detail, Place};
use crate::ask::peer::Called;
use crate::error::QueryError;

/// The columns that are read.
pub(super) const COLUMNS: &[&str] = &[
    "trace_id",
    "span_id",
    "parent_span_id",
    "kind",
    "status_code",
    "service_name",
    "name",
    "start_time",
    "duration_ns",
    "host_id",
    "host_name",
    "k8s_node_name",
    "service_instance_id",
    "k8s_pod_name",
    "container_id",
    "service_version",
    "db_system_name",
    "db_namespace",
    "db_query_summary",
    "db_operation_name",
    "db_collection_name",
    "messaging_system",
    "messaging_destination_name",
    "rpc_system_name",
    "http_request_method",
    "service_peer_name",
    "server_address",
    "server_port",
    "network_peer_address",
];

/// Texts that were met, each held once.
#[derive(Debug, Default)]
pub(super) struct Names {
    all: HashSet<Arc<str>, RandomState>,
    peers: HashMap<PeerKey, (Peer, Arc<str>), RandomState>,
}

/// Attributes that name what is called, by the addresses of their texts.
type PeerKey = ([usize; 12], i64);

impl Names {
    fn of(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.all.get(text) {
            return Arc::clone(known);
        }
        let name: Arc<str> = text.into();
        self.all.insert(Arc::clone(&name));
        name
    }

    /// The store of a service and the kind of such a peer, if a span's name is a statement.
    fn statement(&mut self, service: &str, name: &Arc<str>) -> Option<(Peer, Arc<str>)> {
        super::kind::is_statement(name).then(|| {
            let store = self.of(&format!("database of {service}"));
            (
                Peer { name: store, is_store: true, statement: Some(Arc::clone(name)) },
                self.of("database"),
            )
        })
    }
}

/// A column of labels.
struct Label {
    codes: Option<DictionaryArray<Int32Type>>,
    /// The text of each value, once it was asked for.
    known: Vec<Option<Arc<str>>>,
}

impl Label {
    fn of(batch: &RecordBatch, name: &str) -> Result<Self, QueryError> {
        let Some(array) = batch.column_by_name(name) else {
            return Ok(Self { codes: None, known: Vec::new() });
        };
        let wanted = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let codes: ArrayRef = match array.data_type() == &wanted {
            true => Arc::clone(array),
            false => cast(array, &wanted)
                .map_err(|e| QueryError::Engine(format!("spans, column {name}: {e}")))?,
        };
        let codes = codes.as_dictionary_opt::<Int32Type>().cloned();
        let values = codes.as_ref().map_or(0, |codes| codes.values().len());
        Ok(Self { codes, known: vec![None; values] })
    }

    /// The text of a row; `None` for null and for an empty one.
    fn get(&mut self, row: usize, names: &mut Names) -> Option<Arc<str>> {
        let codes = self.codes.as_ref()?;
        let at = codes.key(row)?;
        if let Some(Some(known)) = self.known.get(at) {
            return (!known.is_empty()).then(|| Arc::clone(known));
        }
        let values = codes.values().as_string_opt::<i32>()?;
        let text = names.of(if values.is_valid(at) { values.value(at) } else { "" });
        if let Some(slot) = self.known.get_mut(at) {
            *slot = Some(Arc::clone(&text));
        }
        (!text.is_empty()).then_some(text)
    }
}

fn ids(batch: &RecordBatch, name: &str) -> Option<FixedSizeBinaryArray> {
    batch.column_by_name(name)?.as_fixed_size_binary_opt().cloned()
}

fn ints(batch: &RecordBatch, name: &str) -> Result<Option<Int64Array>, QueryError> {
    let Some(array) = batch.column_by_name(name) else { return Ok(None) };
    let array = cast(array, &DataType::Int64)
        .map_err(|e| QueryError::Engine(format!("spans, column {name}: {e}")))?;
    Ok(array.as_primitive_opt::<Int64Type>().cloned())
}

/// [`COLUMNS`] of one batch.
pub(super) struct Spans {
    trace: Option<FixedSizeBinaryArray>,
    span: Option<FixedSizeBinaryArray>,
    parent: Option<FixedSizeBinaryArray>,
    start: Option<Int64Array>,
    duration: Option<Int64Array>,
    port: Option<Int64Array>,
    kind: Label,
    status: Label,
    service: Label,
    name: Label,
    host_id: Label,
    host: Label,
    node: Label,
    instance: Label,
    pod: Label,
    container: Label,
    version: Label,
    peer: PeerLabels,
}

/// What says what a call is to.
struct PeerLabels {
    db: Label,
    namespace: Label,
    summary: Label,
    operation: Label,
    collection: Label,
    messaging: Label,
    destination: Label,
    rpc: Label,
    method: Label,
    service: Label,
    address: Label,
    network: Label,
}

impl Spans {
    pub(super) fn of(batch: &RecordBatch) -> Result<Self, QueryError> {
        let label = |name| Label::of(batch, name);
        Ok(Self {
            trace: ids(batch, "trace_id"),
            span: ids(batch, "span_id"),
            parent: ids(batch, "parent_span_id"),
            start: ints(batch, "start_time")?,
            duration: ints(batch, "duration_ns")?,
            port: ints(batch, "server_port")?,
            kind: label("kind")?,
            status: label("status_code")?,
            service: label("service_name")?,
            name: label("name")?,
            host_id: label("host_id")?,
            host: label("host_name")?,
            node: label("k8s_node_name")?,
            instance: label("service_instance_id")?,
            pod: label("k8s_pod_name")?,
            container: label("container_id")?,
            version: label("service_version")?,
            peer: PeerLabels {
                db: label("db_system_name")?,
                namespace: label("db_namespace")?,
                summary: label("db_query_summary")?,
                operation: label("db_operation_name")?,
                collection: label("db_collection_name")?,
                messaging: label("messaging_system")?,
                destination: label("messaging_destination_name")?,
                rpc: label("rpc_system_name")?,
                method: label("http_request_method")?,
                service: label("service_peer_name")?,
                address: label("server_address")?,
                network: label("network_peer_address")?,
            },
        })
    }

    pub(super) fn start_ns(&self, row: usize) -> i64 {
        int(self.start.as_ref(), row).unwrap_or_default()
    }

    pub(super) fn trace(&self, row: usize) -> Option<TraceId> {
        TraceId::from_bytes(id(self.trace.as_ref(), row)?)
    }

    /// The span of a row; `None` for one without an id.
    pub(super) fn row(&mut self, row: usize, names: &mut Names) -> Option<(SpanRecord, Detail)> {
        let span = |ids: &Option<FixedSizeBinaryArray>| SpanId::from_bytes(id(ids.as_ref(), row)?);
        let (span_id, parent_span_id) = (span(&self.span)?, span(&self.parent));
        let kind =
            self.kind.get(row, names).map_or(SpanKind::default(), |k| SpanKind::from_name(&k));
        let status = self.status.get(row, names);
        let host = self.host_id.get(row, names).or_else(|| self.host.get(row, names));
        let record = SpanRecord {
            span_id,
            parent_span_id,
            kind,
            status: status.map_or(SpanStatus::default(), |s| SpanStatus::from_name(&s)),
            service: self.service.get(row, names).unwrap_or_default(),
            host: host.unwrap_or_default(),
            name: self.name.get(row, names).unwrap_or_default(),
            start_ns: self.start_ns(row),
            duration_ns: int(self.duration.as_ref(), row).unwrap_or_default(),
            source: 0,
        };
        let instance = self.instance.get(row, names).or_else(|| self.pod.get(row, names));
        let names_peer = match kind {
            SpanKind::Client | SpanKind::Producer | SpanKind::Consumer => true,
            SpanKind::Internal => self.peer.names_store(row, names),
            SpanKind::Unspecified => self.peer.names_any(row, names),
            SpanKind::Server => false,
        };
        let peer = match names_peer {
            true => Some(self.peer.get(row, int(self.port.as_ref(), row), &record.name, names)),
            false if kind == SpanKind::Unspecified => {
                names.statement(&record.service, &record.name)
            }
            false => None,
        };
        let (peer, peer_kind) = peer.unzip();
        Some((record, Detail { instance, peer, peer_kind }))
    }

    pub(super) fn place(&mut self, row: usize, service: &Arc<str>, names: &mut Names) -> Place {
        Place {
            service: Arc::clone(service),
            version: self.version.get(row, names),
            instance: self.instance.get(row, names),
            container: self.container.get(row, names),
            pod: self.pod.get(row, names),
            host: self.host.get(row, names),
            node: self.node.get(row, names),
        }
    }
}

fn id(ids: Option<&FixedSizeBinaryArray>, row: usize) -> Option<&[u8]> {
    let ids = ids.filter(|ids| row < ids.len() && ids.is_valid(row))?;
    Some(ids.value(row))
}

fn int(ints: Option<&Int64Array>, row: usize) -> Option<i64> {
    let ints = ints.filter(|ints| row < ints.len() && ints.is_valid(row))?;
    Some(ints.value(row))
}

impl PeerLabels {
    fn names_store(&mut self, row: usize, names: &mut Names) -> bool {
        self.db.get(row, names).is_some()
    }

    fn names_any(&mut self, row: usize, names: &mut Names) -> bool {
        let labels = [
            &mut self.db,
            &mut self.messaging,
            &mut self.service,
            &mut self.address,
            &mut self.network,
        ];
        labels.into_iter().any(|label| label.get(row, names).is_some())
    }

    /// What a call is to, and what kind of peer that is.
    fn get(
        &mut self,
        row: usize,
        port: Option<i64>,
        name: &Arc<str>,
        names: &mut Names,
    ) -> (Peer, Arc<str>) {
        let labels = [
            &mut self.db,
            &mut self.namespace,
            &mut self.summary,
            &mut self.operation,
            &mut self.collection,
            &mut self.messaging,
            &mut self.destination,
            &mut self.rpc,
            &mut self.service,
            &mut self.address,
            &mut self.network,
        ];
        let all = labels.map(|label| label.get(row, names));
        let is_http = self.method.get(row, names).is_some();
        let address =
            |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.as_ptr().addr());
        let mut key = [usize::from(is_http); 12];
        for (slot, text) in key.iter_mut().zip(&all) {
            *slot = address(text);
        }
        let [
            db,
            namespace,
            summary,
            operation,
            collection,
            messaging,
            destination,
            rpc,
            service,
            address,
            network,
        ] = all.each_ref().map(Option::as_deref);
        let called = Called {
            name,
            service,
            address,
            port,
            network,
            db,
            namespace,
            summary,
            operation,
            collection,
            messaging,
            destination,
            is_rpc: rpc.is_some(),
            is_http,
        };
        // Spans that name no peer are told apart by their own name.
        let last = match called.is_nameless() {
            true => i64::try_from(name.as_ptr().addr()).unwrap_or_default(),
            false => port.unwrap_or(-1),
        };
        if let Some((peer, kind)) = names.peers.get(&(key, last)) {
            return (peer.clone(), Arc::clone(kind));
        }
        let (peer, kind) = called.peer();
        let kind = names.of(kind);
        names.peers.insert((key, last), (peer.clone(), Arc::clone(&kind)));
        (peer, kind)
    }
}
