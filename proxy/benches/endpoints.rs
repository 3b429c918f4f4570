//! Cost to a worker of replacing all 2,000 servers of a backend.

#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::rc::Rc;
use std::sync::{Arc, Mutex};

use divan::Bencher;
use pointsman::config::{Backend, Server, ServerAddress};
use pointsman::transport::buffer::BufferPool;
use pointsman::upstream::pool::ConnectionBudget;
use pointsman::upstream::{
    Cluster, ClusterConfig, Demand, Keeper, LocalCluster, Needs, Preparation, Reuse,
};
use tokio::net::UnixListener;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

const SERVERS: usize = 2_000;

fn main() {
    divan::main();
}

/// The configurations of one backend. Each has none of the servers of the one before.
struct Backends {
    directory: tempfile::TempDir,
    keeper: Keeper,
    cluster: Option<Arc<Cluster>>,
    generation: usize,
}

impl Backends {
    fn new() -> Backends {
        let (keeper, _) = Keeper::new();
        Backends {
            directory: tempfile::tempdir().unwrap(),
            keeper,
            cluster: None,
            generation: 0,
        }
    }

    fn next(&mut self) -> ClusterConfig {
        self.generation += 1;
        let path = self.directory.path().join("server");
        let server = |number| {
            let name = format!("s{}-{number}", self.generation);
            Server::new(&name, ServerAddress::Unix(path.clone()))
        };
        let backend = Backend::new("b", (0..SERVERS).map(server).collect());
        let before = self.cluster.as_ref();
        let known = before.map(|cluster| ("b", cluster)).into_iter().collect();
        let mut preparation = Preparation::of(std::slice::from_ref(&backend), &known);
        let config = ClusterConfig::load(&backend, &mut preparation, before, 2, &self.keeper);
        let mut config = config.unwrap();
        config.publish();
        self.cluster = Some(Arc::clone(&config.cluster));
        config
    }
}

/// Builds the next configuration on another thread, as the proxy does, so that the worker's
/// allocator is not involved.
fn next(backends: &Mutex<Backends>) -> ClusterConfig {
    std::thread::scope(|scope| {
        let made = scope.spawn(|| backends.lock().unwrap().next());
        made.join().unwrap()
    })
}

/// A worker with the backend of [`Backends`]. All servers listen on one socket.
struct Bed {
    runtime: LocalRuntime,
    backends: Mutex<Backends>,
    listener: UnixListener,
    budget: Rc<ConnectionBudget>,
    local: Rc<LocalCluster>,
}

impl Bed {
    fn new() -> Bed {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .unwrap();
        let backends = Mutex::new(Backends::new());
        let path = backends.lock().unwrap().directory.path().join("server");
        let listener = runtime.block_on(async { UnixListener::bind(path).unwrap() });
        let budget = ConnectionBudget::new(10_000, BufferPool::default());
        let local = Rc::new(LocalCluster::new(&next(&backends), 0, &budget));
        Bed {
            runtime,
            backends,
            listener,
            budget,
            local,
        }
    }

    /// Makes requests, each over a new connection that is closed at once.
    fn requests(&self, count: usize) {
        self.runtime.block_on(async {
            for _ in 0..count {
                let demand = Demand::new(Reuse::Fresh, Needs::Any);
                drop(self.local.checkout(&demand).await.unwrap());
                drop(self.listener.accept().await.unwrap());
            }
        });
    }
}

/// Measures how long a worker takes to adopt new endpoints after using `used` of the old ones.
#[divan::bench(args = [0, 100, 2_000])]
fn replaced(bencher: Bencher<'_, '_>, used: usize) {
    let bed = Bed::new();
    bencher
        .with_inputs(|| {
            bed.requests(used);
            while bed.budget.close_retired() {}
            next(&bed.backends)
        })
        .bench_local_refs(|config| bed.local.apply(config));
}

/// Measures the first request after all endpoints were replaced, over a new connection.
#[divan::bench]
fn first_request(bencher: Bencher<'_, '_>) {
    let bed = Bed::new();
    bencher
        .with_inputs(|| bed.local.apply(&next(&bed.backends)))
        .bench_local_refs(|()| bed.requests(1));
}
