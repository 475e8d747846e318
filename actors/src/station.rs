//! A station: an actor around one state machine. It owns the machine, does the work it is sent, one at a time and in
//! order, and returns what the machine returned; nothing else.

use crate::halt::DeathWatch;
use actix::{Actor, ActorFutureExt, Addr, AtomicResponse, Context, Handler, Message, MessageResult, WrapFuture};
use backstop_engine::flow::Stop;
use futures_util::future::LocalBoxFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Messages a station holds. The conductor waits for each answer, and reads are asked one at a time, so there are never
/// more than a handful; the bound is there to make a mistake visible.
const MAILBOX: usize = 64;

/// How many messages wait in a mailbox.
#[derive(Debug, Clone, Default)]
pub struct Depth(Arc<AtomicUsize>);

impl Depth {
    /// One more.
    pub fn enter(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    /// One less.
    pub fn leave(&self) {
        // A message that was counted nowhere does not count below zero.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |depth| depth.checked_sub(1));
    }
    /// Now.
    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// An actor around a machine.
pub struct Station<M: Unpin + 'static> {
    machine: Option<M>,
    depth: Depth,
    _watch: DeathWatch,
}

impl<M: Unpin + 'static> Actor for Station<M> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

/// Work done at once on the machine.
struct Call<M, R>(Box<dyn FnOnce(&mut M) -> R + Send>);

impl<M: 'static, R: 'static> Message for Call<M, R> {
    type Result = R;
}

/// Work that asks others before it is done; the machine does nothing else meanwhile.
struct Converse<M, R>(Converses<M, R>);

type Converses<M, R> = Box<dyn FnOnce(M) -> LocalBoxFuture<'static, (M, R)> + Send>;

impl<M: 'static, R: 'static> Message for Converse<M, R> {
    type Result = R;
}

impl<M: Unpin + 'static, R: 'static> Handler<Call<M, R>> for Station<M> {
    type Result = MessageResult<Call<M, R>>;

    fn handle(&mut self, work: Call<M, R>, _: &mut Self::Context) -> Self::Result {
        self.depth.leave();
        let Some(machine) = self.machine.as_mut() else { unreachable!("a conversation excludes other work") };
        MessageResult((work.0)(machine))
    }
}

impl<M: Unpin + 'static, R: 'static> Handler<Converse<M, R>> for Station<M> {
    type Result = AtomicResponse<Self, R>;

    fn handle(&mut self, work: Converse<M, R>, _: &mut Self::Context) -> Self::Result {
        self.depth.leave();
        let Some(machine) = self.machine.take() else { unreachable!("a conversation excludes other work") };
        let conversation = (work.0)(machine).into_actor(self);
        AtomicResponse::new(Box::pin(conversation.map(|(machine, answer), station, _| {
            station.machine = Some(machine);
            answer
        })))
    }
}

/// The way to a station. Cheap to clone.
pub struct Handle<M: Unpin + 'static> {
    name: &'static str,
    addr: Addr<Station<M>>,
    depth: Depth,
}

impl<M: Unpin + 'static> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self { name: self.name, addr: self.addr.clone(), depth: self.depth.clone() }
    }
}

impl<M: Unpin + Send + 'static> Handle<M> {
    /// Starts a station on an arbiter.
    pub fn start(name: &'static str, machine: M, watch: DeathWatch, arbiter: &actix::ArbiterHandle) -> Self {
        let depth = Depth::default();
        let counted = depth.clone();
        let addr = Station::start_in_arbiter(arbiter, move |_| Station {
            machine: Some(machine),
            depth: counted,
            _watch: watch,
        });
        Self { name, addr, depth }
    }

    /// Its name, for metrics.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How many messages wait.
    pub fn depth(&self) -> Depth {
        self.depth.clone()
    }

    /// Has work done.
    ///
    /// # Errors
    /// [`Stop::Gone`] when the actor has ended.
    pub async fn call<R: Send + 'static>(&self, work: impl FnOnce(&mut M) -> R + Send + 'static) -> Result<R, Stop> {
        self.depth.enter();
        self.addr.send(Call(Box::new(work))).await.map_err(|_| Stop::Gone(self.name))
    }

    /// Has work done that asks others.
    ///
    /// # Errors
    /// [`Stop::Gone`] when the actor has ended.
    pub async fn converse<R: Send + 'static>(
        &self,
        work: impl FnOnce(M) -> LocalBoxFuture<'static, (M, R)> + Send + 'static,
    ) -> Result<R, Stop> {
        self.depth.enter();
        self.addr.send(Converse(Box::new(work))).await.map_err(|_| Stop::Gone(self.name))
    }
}
