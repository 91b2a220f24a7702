//! A connection that ends when nothing goes out on it any more.
//!
//! One rule covers everything that a peer can do slowly once its handshake is done: whoever stops reading, asks
//! nothing more, or sends a head byte by byte, gets nothing written; when nothing was written for
//! `firmware.idle_timeout_s`, the connection ends. What a peer sends does not count.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// See the module.
pub(super) struct Connection<IO> {
    io: IO,
    idle: Duration,
    last_write: Instant,
    timer: Pin<Box<Sleep>>,
    _counted: Counted,
}

impl<IO> Connection<IO> {
    pub(super) fn new(io: IO, idle: Duration, counted: Counted) -> Self {
        Self {
            io,
            idle,
            last_write: Instant::now(),
            timer: Box::pin(sleep(idle)),
            _counted: counted,
        }
    }

    /// Called whenever the peer is waited for: an error once it was waited for too long.
    fn wait(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.timer.as_mut().poll(context).is_ready() {
            let end = self.last_write + self.idle;
            if end <= Instant::now() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.timer.as_mut().reset(end);
        }
        Ok(())
    }

    fn written(&mut self, poll: &Poll<io::Result<usize>>) {
        if matches!(poll, Poll::Ready(Ok(bytes)) if *bytes > 0) {
            self.last_write = Instant::now();
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Connection<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A head that comes byte by byte is waited for as well.
        self.wait(context)?;
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Connection<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write(context, buffer);
        self.written(&poll);
        if poll.is_pending() {
            self.wait(context)?;
        }
        poll
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.io).poll_flush(context);
        if poll.is_pending() {
            self.wait(context)?;
        }
        poll
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.io).poll_shutdown(context);
        if poll.is_pending() {
            self.wait(context)?;
        }
        poll
    }
}

/// One of the connections that there are.
pub(super) struct Counted(Gauge);

impl Counted {
    pub(super) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    const IDLE: Duration = Duration::from_secs(1);
    /// How long a slow peer takes for one step.
    const SLOW: Duration = Duration::from_millis(250);

    fn connection() -> (Connection<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(16);
        let counted = Counted::new(&Gauge::default());
        (Connection::new(ours, IDLE, counted), theirs)
    }

    #[tokio::test]
    async fn whoever_sends_a_byte_now_and_then_is_not_kept() {
        let (mut ours, mut theirs) = connection();
        let begun = Instant::now();
        let trickle = tokio::spawn(async move {
            while theirs.write_all(b"G").await.is_ok() {
                sleep(SLOW).await;
            }
        });
        let mut byte = [0];
        let error = loop {
            if let Err(error) = ours.read_exact(&mut byte).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= IDLE);
        drop(ours);
        trickle.await.expect("it ends");
    }

    #[tokio::test]
    async fn whoever_reads_slowly_is_served_and_whoever_stops_is_not() {
        let (mut ours, mut theirs) = connection();
        let begun = Instant::now();
        let reader = tokio::spawn(async move {
            let mut bytes = [0; 16];
            for _ in 0..8 {
                sleep(SLOW).await;
                theirs.read_exact(&mut bytes).await.expect("bytes");
            }
            theirs
        });
        let error = ours.write_all(&[0; 1000]).await.expect_err("it stops");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= SLOW * 8 + IDLE);
        drop(reader.await.expect("the peer"));
    }
}
