//! A handler that does nothing, in this process, served as the API is: what any answer costs here at least.

use crate::Failed;
use actix_web::dev::ServerHandle;
use actix_web::rt::System;
use actix_web::{App, HttpResponse, HttpServer, web};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread::JoinHandle;

/// As many as the API has.
const WORKERS: usize = 2;

/// It; ends with its owner.
pub(super) struct Empty {
    at: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

impl Empty {
    /// Starts it on a free port of loopback.
    pub(super) fn start() -> Result<Self, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let at = listener.local_addr()?;
        let (sender, started) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            System::new().block_on(async move {
                let server = HttpServer::new(|| App::new().route("/", web::get().to(HttpResponse::Ok)));
                let server = server.workers(WORKERS).disable_signals().shutdown_timeout(1).listen(listener)?.run();
                let _ = sender.send(server.handle());
                server.await
            })
        });
        let handle = started.recv().map_err(|_| "the empty handler does not start")?;
        Ok(Self { at, handle, thread: Some(thread) })
    }

    /// Where it listens.
    pub(super) fn at(&self) -> SocketAddr {
        self.at
    }
}

impl Drop for Empty {
    fn drop(&mut self) {
        // It is told at once; that it has ended is seen by its thread.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
