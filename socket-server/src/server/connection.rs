//! An open connection, as whoever drains the server sees it.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;

use crate::adapter::BoxFuture;
use crate::engine::{Close, Conn};
use crate::io::{Client, Socket};
use crate::packet::{Args, Payload, PayloadError};

/// For so long a polling client has sent nothing, when its connection is closed.
const QUIET: Duration = Duration::from_millis(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// A connection with the sockets of its client. Cheap to clone.
#[derive(Clone)]
pub struct Connection(Arc<Conn>);

/// How a connection went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Everything that waited was sent, then the close.
    Flushed,
    /// It broke, or its time was over, before everything was sent: what was not is recovered.
    Cut,
}

impl Connection {
    pub(super) fn new(conn: Arc<Conn>) -> Self {
        Self(conn)
    }

    /// A number that no other connection of this server ever has.
    pub fn id(&self) -> u64 {
        self.0.serial()
    }

    /// Whether something can be sent to it: it is neither closed nor closing.
    pub fn is_open(&self) -> bool {
        self.0.is_open()
    }

    /// Bytes that wait for the client to take them.
    pub fn queued_bytes(&self) -> usize {
        self.0.queued_bytes()
    }

    /// Its sockets, one for each namespace that the client has joined.
    pub fn sockets(&self) -> Vec<Socket> {
        let client = self.0.session::<Client>();
        client.map_or_else(Vec::new, |client| client.handles())
    }

    /// Sends the client elsewhere, without loss: emits an event to each of its sockets (its offset arms the
    /// recovery of a client that has got no event yet), gives the answers that it waits for, saves its sessions,
    /// sends what is queued, and closes the transport, which the client answers by connecting again. It is never
    /// told to stay away.
    ///
    /// `from` is the name of this server: the one that the client comes back to counts it under that name.
    ///
    /// What the client sent before it saw the close is handled, except for events that want an answer: that could
    /// not be given, and a client with `retries` sends them again. `linger` bounds the
    /// close, half of it what comes before: on a busy node both take their time, and a client that is cut off before
    /// it had its answer sends again.
    ///
    /// # Errors
    /// When an argument does not serialise; nothing has happened then.
    pub fn close_for_drain(
        &self,
        from: &ByteString,
        event: &str,
        args: impl Args,
        linger: Duration,
    ) -> Result<BoxFuture<'static, Moved>, PayloadError> {
        let data = Payload::event(event, args)?;
        let conn = Arc::clone(&self.0);
        let (sockets, from) = (self.sockets(), from.clone());
        Ok(Box::pin(async move {
            let prepare = async {
                for socket in &sockets {
                    socket.emit_last(data.clone()).wait().await;
                }
                while sockets.iter().any(Socket::owes_answers) {
                    tokio::time::sleep(LOOK).await;
                }
                while !conn.is_quiet(QUIET) {
                    tokio::time::sleep(LOOK).await;
                }
                for socket in &sockets {
                    socket.save_for_move(&from).wait().await;
                }
            };
            // Neither an adapter that is cut off from its broker nor a busy client may hold up the drain.
            let _ = tokio::time::timeout(linger / 2, prepare).await;
            let (close, flushed) = Close::moved(linger, !sockets.is_empty());
            conn.close(close);
            match flushed.await {
                Ok(true) => Moved::Flushed,
                Ok(false) | Err(_) => Moved::Cut,
            }
        }))
    }

    /// Closes the transport at once; what waits is recovered.
    pub fn cut(&self) {
        self.0.close(Close::now(crate::engine::CloseReason::Drain));
    }
}
