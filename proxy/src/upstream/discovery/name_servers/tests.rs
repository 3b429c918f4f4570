//! Tests with local name servers that imitate the behaviors of real ones.

use std::net::Ipv4Addr;

use hickory_resolver::proto::op::{MessageType, OpCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, SOA};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::*;

const TIMEOUT: Duration = Duration::from_millis(200);

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn a(owner: &str, ttl: u32, last: u8) -> Record {
    let address = RData::A(A(Ipv4Addr::new(10, 0, 0, last)));
    Record::from_rdata(name(owner), ttl, address)
}

fn cname(owner: &str, ttl: u32, target: &str) -> Record {
    Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
}

/// Whether a query gets an answer.
#[derive(PartialEq, Eq)]
enum Reply {
    Send,
    Drop,
}

/// A name server over UDP.
struct Responder {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Responder {
    /// Starts a name server. `answer` fills in the answer's message.
    async fn start(answer: fn(&str, &Message, &mut Message) -> Reply) -> Responder {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let query = question.queries[0].clone();
                let mut message = Message::response(question.id, OpCode::Query);
                assert_eq!(message.message_type, MessageType::Response);
                message.add_query(query.clone());
                let name = query.name().to_ascii();
                if answer(&name, &question, &mut message) == Reply::Send {
                    let bytes = message.to_vec().unwrap();
                    socket.send_to(&bytes, from).await.unwrap();
                }
            }
        });
        Responder { address, task }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn servers(responders: &[&Responder]) -> NameServers {
    let addresses: Vec<_> = responders.iter().map(|it| it.address).collect();
    NameServers::with(&addresses, Vec::new(), 1, MAX_ROUNDS, TIMEOUT).unwrap()
}

/// Answers each name with one address. The last number of the address is the first label of the
/// name.
fn number(name: &str, _: &Message, answer: &mut Message) -> Reply {
    let last = name.split('.').next().unwrap().parse().unwrap();
    answer.add_answer(a(name, 60, last));
    Reply::Send
}

fn refuse(_: &str, _: &Message, answer: &mut Message) -> Reply {
    answer.metadata.response_code = ResponseCode::Refused;
    Reply::Send
}

fn fail(_: &str, _: &Message, answer: &mut Message) -> Reply {
    answer.metadata.response_code = ResponseCode::ServFail;
    Reply::Send
}

fn be_silent(_: &str, _: &Message, _: &mut Message) -> Reply {
    Reply::Drop
}

fn say_no(_: &str, _: &Message, answer: &mut Message) -> Reply {
    answer.metadata.response_code = ResponseCode::NXDomain;
    let soa = SOA::new(name("ns.test."), name("admin.test."), 1, 1, 1, 1, 7);
    answer.add_authority(Record::from_rdata(name("test."), 60, RData::SOA(soa)));
    Reply::Send
}

fn know_no_edns(name: &str, question: &Message, answer: &mut Message) -> Reply {
    if question.edns.is_some() {
        answer.metadata.response_code = ResponseCode::FormErr;
        return Reply::Send;
    }
    number(name, question, answer)
}

async fn shown(servers: &NameServers, text: &str) -> String {
    match servers.records(&name(text), RecordType::A).await {
        Ok(records) => {
            let data: Vec<_> = records.data.iter().map(ToString::to_string).collect();
            format!("{} for {:?}", data.join(" "), records.ttl)
        }
        Err(Failure::Nothing(ttl)) => format!("none for {ttl:?}"),
        Err(Failure::Error(error) | Failure::TimedOut(error)) => error.to_string(),
    }
}

#[tokio::test]
async fn another_server_is_queried_if_one_fails() {
    for broken in [refuse, fail, be_silent] {
        let (first, second) = (
            Responder::start(broken).await,
            Responder::start(number).await,
        );
        let servers = servers(&[&first, &second]);
        assert_eq!(shown(&servers, "5.test.").await, "10.0.0.5 for 60s");
        // From now on this server is queried first.
        assert_eq!(servers.current.load(Ordering::Relaxed), 1);
        assert_eq!(shown(&servers, "6.test.").await, "10.0.0.6 for 60s");
    }
}

#[tokio::test]
async fn errors_name_the_cause() {
    let refusing = Responder::start(refuse).await;
    let silent = Responder::start(be_silent).await;
    let text = format!("name server {} answered: Query Refused", refusing.address);
    assert_eq!(shown(&servers(&[&refusing]), "5.test.").await, text);
    assert_eq!(
        shown(&servers(&[&silent, &refusing]), "5.test.").await,
        text
    );
    let text = format!("name server {} does not answer", silent.address);
    assert_eq!(shown(&servers(&[&silent]), "5.test.").await, text);
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_no_failure() {
    let (none, number) = (
        Responder::start(say_no).await,
        Responder::start(number).await,
    );
    let servers = servers(&[&none, &number]);
    assert_eq!(shown(&servers, "5.test.").await, "none for Some(7s)");
}

#[tokio::test]
async fn old_servers_are_queried_without_edns() {
    let old = Responder::start(know_no_edns).await;
    assert_eq!(
        shown(&servers(&[&old]), "5.test.").await,
        "10.0.0.5 for 60s"
    );
}

#[tokio::test]
async fn aliases_are_followed_over_several_answers() {
    let responder = Responder::start(|name, _, answer| {
        match name {
            "www.test." => {
                answer.add_answer(cname("www.test.", 20, "web.test."));
                answer.add_answer(cname("web.test.", 60, "host.test."));
            }
            "host.test." => {
                answer.add_answer(a("host.test.", 30, 1));
                answer.add_answer(a("host.test.", 40, 2));
                answer.add_answer(a("other.test.", 1, 3));
            }
            "gone.test." => {
                answer.add_answer(cname("gone.test.", 20, "nothing.test."));
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            "circle.test." => {
                answer.add_answer(cname("circle.test.", 20, "round.test."));
                answer.add_answer(cname("round.test.", 20, "circle.test."));
            }
            "endless.test." => {
                answer.add_answer(cname("endless.test.", 20, "on.test."));
            }
            "on.test." => {
                answer.add_answer(cname("on.test.", 20, "endless.test."));
            }
            _ => {}
        }
        Reply::Send
    })
    .await;
    let servers = servers(&[&responder]);
    let check = async |name: &str, expected: &str| {
        assert_eq!(shown(&servers, name).await, expected, "{name}");
    };
    check("host.test.", "10.0.0.1 10.0.0.2 for 30s").await;
    check("www.test.", "10.0.0.1 10.0.0.2 for 20s").await;
    check("gone.test.", "none for None").await;
    check("empty.test.", "none for None").await;
    check("circle.test.", "none for None").await;
    check("endless.test.", "too many aliases").await;
}

#[test]
fn search_domains_complete_short_names() {
    let check = |text: &str, ndots: usize, expected: &[&str]| {
        let conf = format!(
            "nameserver 127.0.0.1\nsearch one.test two.test\noptions ndots:{ndots} timeout:1\n"
        );
        let servers = NameServers::parse(conf.as_bytes()).unwrap();
        assert_eq!(servers.timeout, Duration::from_secs(1));
        let names = servers.candidates(text).unwrap();
        let names: Vec<_> = names.iter().map(Name::to_ascii).collect();
        assert_eq!(names, expected, "{text} with ndots:{ndots}");
    };
    check("www", 1, &["www.one.test.", "www.two.test.", "www."]);
    check("www.", 1, &["www."]);
    check(
        "www.tld",
        1,
        &["www.tld.", "www.tld.one.test.", "www.tld.two.test."],
    );
    check(
        "www.tld",
        5,
        &["www.tld.one.test.", "www.tld.two.test.", "www.tld."],
    );
    check("www.tld.", 5, &["www.tld."]);
    check("_http._tcp.tld.", 5, &["_http._tcp.tld."]);
}

#[test]
fn servers_of_the_system_are_read() {
    let addresses = |text: &str| {
        let servers = NameServers::parse(text.as_bytes()).map(|it| it.servers);
        servers.map(|it| it.iter().map(|server| server.address).collect::<Vec<_>>())
    };
    let expected = ["10.0.0.53:53", "[fd00::53]:53"].map(|it| it.parse().unwrap());
    let text = "# comment\nnameserver 10.0.0.53\nnameserver fd00::53\noptions rotate\n";
    assert_eq!(addresses(text).unwrap(), expected);
    assert!(addresses("search test.tld\n").is_err());
    assert!(addresses("").is_err());
}

#[test]
fn every_server_gets_a_turn_within_the_budget() {
    let timeout = |count: usize| {
        let addresses = vec![SocketAddr::from(([127, 0, 0, 1], 53)); count];
        NameServers::try_new(&addresses).unwrap().timeout
    };
    assert_eq!(timeout(1), Duration::from_secs(2));
    assert_eq!(timeout(2), Duration::from_secs(2));
    assert_eq!(timeout(4), Duration::from_secs(1));
}
