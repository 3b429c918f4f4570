//! What a worker pays for a change of servers: a backend of 2,000, all of which are replaced.

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
use tokio::runtime::{Builder, LocalOptions};

const SERVERS: usize = 2_000;

fn main() {
    divan::main();
}

/// A backend whose servers are all others each time.
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

/// Made on another thread, as in the proxy: a worker's allocator has nothing to do with it.
fn next(backends: &Mutex<Backends>) -> ClusterConfig {
    std::thread::scope(|scope| {
        let made = scope.spawn(|| backends.lock().unwrap().next());
        made.join().unwrap()
    })
}

/// A worker takes over other endpoints, having used so many of those before.
#[divan::bench(args = [0, 100, 2_000])]
fn replaced(bencher: Bencher<'_, '_>, used: usize) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap();
    let backends = Mutex::new(Backends::new());
    let path = backends.lock().unwrap().directory.path().join("server");
    let listener = runtime.block_on(async { UnixListener::bind(path).unwrap() });
    let budget = ConnectionBudget::new(10_000, BufferPool::default());
    let first = next(&backends);
    let local = Rc::new(LocalCluster::new(&first, 0, &budget));
    bencher
        .with_inputs(|| {
            runtime.block_on(async {
                for _ in 0..used {
                    let demand = Demand::new(Reuse::Fresh, Needs::Any);
                    let lease = local.checkout(&demand).await.unwrap();
                    drop(lease);
                    drop(listener.accept().await.unwrap());
                }
            });
            while budget.close_retired() {}
            next(&backends)
        })
        .bench_local_refs(|config| local.apply(config));
}

/// The first request after such a change, with a new connection.
#[divan::bench]
fn first_request(bencher: Bencher<'_, '_>) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap();
    let backends = Mutex::new(Backends::new());
    let path = backends.lock().unwrap().directory.path().join("server");
    let listener = runtime.block_on(async { UnixListener::bind(path).unwrap() });
    let budget = ConnectionBudget::new(10_000, BufferPool::default());
    let first = next(&backends);
    let local = Rc::new(LocalCluster::new(&first, 0, &budget));
    bencher
        .with_inputs(|| {
            let config = next(&backends);
            local.apply(&config);
            config
        })
        .bench_local_refs(|_| {
            runtime.block_on(async {
                let demand = Demand::new(Reuse::Fresh, Needs::Any);
                drop(local.checkout(&demand).await.unwrap());
                drop(listener.accept().await.unwrap());
            });
        });
}
