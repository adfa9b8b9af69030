//! Where accepted requests go.

use std::future::Future;

use headrope_model::RefuseReason;
use headrope_storage::{AppendError, Engine, Permit, Receipt, Submission};

/// The durable end of the pipeline: the storage engine, or a stand-in for it in tests.
pub trait Sink: Send + Sync + 'static {
    /// Room in the memory budget, given back when dropped.
    type Permit: Send + 'static;

    /// Waits until there is room for a request of `bytes` uncompressed bytes, behind those that wait already,
    /// without reserving it.
    fn await_room(&self, bytes: usize) -> impl Future<Output = ()> + Send;

    /// Reserves room for a request of `bytes` uncompressed bytes.
    ///
    /// # Errors
    /// [`AppendError::Retry`] when there is no room.
    fn admit(&self, bytes: usize) -> Result<Self::Permit, AppendError>;

    /// Stores a submission; `Ok` means durable and visible.
    ///
    /// # Errors
    /// When nothing was stored.
    fn append(
        &self,
        permit: Self::Permit,
        submission: Submission,
    ) -> impl Future<Output = Result<Receipt, AppendError>> + Send;

    /// Whether submissions are taken.
    ///
    /// # Errors
    /// The reason why not.
    fn ready(&self) -> Result<(), RefuseReason>;
}

impl Sink for Engine {
    type Permit = Permit;

    async fn await_room(&self, bytes: usize) {
        Self::await_room(self, bytes).await;
    }

    fn admit(&self, bytes: usize) -> Result<Permit, AppendError> {
        Self::admit(self, bytes)
    }

    async fn append(&self, permit: Permit, submission: Submission) -> Result<Receipt, AppendError> {
        Self::append(self, permit, submission).await
    }

    fn ready(&self) -> Result<(), RefuseReason> {
        Self::ready(self)
    }
}
