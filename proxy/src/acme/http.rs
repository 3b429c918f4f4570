//! Requests to an ACME server: HTTP/1.1 over TLS, with one connection for each request, and with
//! limits on sizes and times.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::Acme;
use crate::transport::async_io::AsyncIo;
use crate::transport::io::{Io, Socket};
use crate::transport::tls::{
    ClientSettings, ClientTls, ClientTlsError, HandshakeError, PeerName, Roots, Version,
};

/// Timeout for connecting to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout for a request as a whole.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum length of a response body. Certificate chains take a few KiB.
const MAX_BODY: usize = 1 << 20;
/// Maximum length of a response head.
const MAX_HEAD: usize = 64 << 10;

const AGENT: &str = concat!("pointsman/", env!("CARGO_PKG_VERSION"));

/// Reason why a request got no usable response.
#[derive(Debug, Error)]
pub enum HttpError {
    /// The URL is not a valid `https` URL. Nothing is sent in the clear.
    #[error("{0} is not an `https` URL")]
    Url(String),
    /// The server's name cannot be resolved.
    #[error("cannot resolve `{host}`")]
    Resolve {
        /// The server's name.
        host: String,
        /// The resolver's error.
        source: io::Error,
    },
    /// None of the server's addresses accepts connections.
    #[error("cannot connect to {host}")]
    Connect {
        /// The server's name.
        host: String,
        /// The error at the last address that was tried.
        source: io::Error,
    },
    /// The configured file of certificate authorities for the ACME server cannot be read.
    #[error("cannot read {}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The certificate authorities cannot be used, or the server's name is not valid in a
    /// certificate.
    #[error(transparent)]
    Tls(#[from] ClientTlsError),
    /// The TLS handshake with the server failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The HTTP exchange failed.
    #[error("the HTTP exchange failed")]
    Exchange(#[from] hyper::Error),
    /// The response body is too long, or was truncated.
    #[error("the response cannot be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No response arrived in time.
    #[error("no response from {host} within {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout {
        /// The server's name.
        host: String,
    },
    /// The response is an error page, for example from a proxy in between.
    #[error("{host} returned status {status}")]
    Status {
        /// The server's name.
        host: String,
        /// Status of the response.
        status: u16,
    },
}

/// Checks that the certificate authorities for the ACME server can be loaded. Sends nothing.
/// Blocks.
///
/// # Errors
/// [`HttpError::Ca`], [`HttpError::Tls`].
pub fn check_authorities(acme: &Acme) -> Result<(), HttpError> {
    Client::try_new(acme).map(drop)
}

/// A client of one ACME server. Clones share one `retry_after`.
#[derive(Debug, Clone)]
pub(super) struct Client {
    tls: ClientTls,
    /// Time from the `Retry-After` field of the last error response.
    retry_after: Arc<Mutex<Option<SystemTime>>>,
}

impl Client {
    /// Creates a client. Blocks while it reads the certificate authorities.
    pub(super) fn try_new(acme: &Acme) -> Result<Client, HttpError> {
        let roots = match &acme.ca {
            None => Roots::System,
            Some(path) => Roots::Pem(std::fs::read(path).map_err(|source| HttpError::Ca {
                path: path.clone(),
                source,
            })?),
        };
        let tls = ClientTls::new(&ClientSettings {
            roots,
            identity: None,
            min_version: Version::Tls12,
            max_version: Version::Tls13,
            alpn: vec![b"http/1.1".to_vec()],
        })?;
        Ok(Client {
            tls,
            retry_after: Arc::default(),
        })
    }

    /// Returns the earliest time for the next request, if the server's last error response
    /// specified one.
    pub(super) fn retry_after(&self) -> Option<SystemTime> {
        *self.last()
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<SystemTime>> {
        self.retry_after
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(
        &self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, HttpError> {
        let target = Target::of(request.uri())?;
        let io = self.connect(&target).await?;
        let fields = request.headers_mut();
        fields.insert(HOST, target.field);
        fields.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        *request.uri_mut() = target.path.into();
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(AsyncIo(io)))
            .await?;
        // The connection's task ends with the response, since the connection carries only this
        // request.
        tokio::spawn(connection);
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map_err(HttpError::Body)?.to_bytes();
        let status = parts.status;
        if status.is_client_error() || status.is_server_error() {
            *self.last() = retry_after(&parts.headers, SystemTime::now());
            if !is_json(&parts.headers) {
                return Err(HttpError::Status {
                    host: target.host,
                    status: status.as_u16(),
                });
            }
        }
        Ok(Response::from_parts(parts, Full::new(body)))
    }

    async fn connect(&self, target: &Target) -> Result<Io, HttpError> {
        let host = &target.host;
        let addresses = tokio::net::lookup_host((host.as_str(), target.port)).await;
        let addresses = addresses.map_err(|source| HttpError::Resolve {
            host: host.clone(),
            source,
        })?;
        let socket = connect(addresses).await;
        let socket = socket.map_err(|source| HttpError::Connect {
            host: host.clone(),
            source,
        })?;
        let name = PeerName::parse(host)?;
        Ok(Io::tls(self.tls.connect(Socket::Tcp(socket), &name).await?))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let host = request.uri().host().unwrap_or_default().to_owned();
            let answer = timeout(REQUEST_TIMEOUT, client.exchange(request)).await;
            let answer = answer.unwrap_or(Err(HttpError::Timeout { host }));
            match answer {
                Ok(response) => Ok(response.into()),
                Err(error) => Err(instant_acme::Error::Other(Box::new(error))),
            }
        })
    }
}

/// The server and path that a request goes to.
#[derive(Debug)]
struct Target {
    /// Name or address of the server, without brackets.
    host: String,
    port: u16,
    field: HeaderValue,
    path: PathAndQuery,
}

impl Target {
    fn of(uri: &Uri) -> Result<Target, HttpError> {
        let target = || {
            if uri.scheme_str() != Some("https") {
                return None;
            }
            let authority = uri.authority()?;
            let host = authority.host();
            let bare = host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'));
            let field = match authority.port() {
                Some(port) => format!("{host}:{port}"),
                None => host.to_owned(),
            };
            let path = uri.path_and_query().cloned();
            Some(Target {
                host: bare.unwrap_or(host).to_owned(),
                port: authority.port_u16().unwrap_or(443),
                field: field.try_into().ok()?,
                path: path.unwrap_or(PathAndQuery::from_static("/")),
            })
        };
        target().ok_or_else(|| HttpError::Url(uri.to_string()))
    }
}

async fn connect(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "it has no address");
    for address in addresses {
        let attempt = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        match attempt.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Parses `Retry-After` (RFC 9110, section 10.2.3).
fn retry_after(fields: &HeaderMap, now: SystemTime) -> Option<SystemTime> {
    let value = fields.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse::<u32>() {
        Ok(seconds) => now.checked_add(Duration::from_secs(seconds.into())),
        Err(_) => httpdate::parse_http_date(value).ok(),
    }
}

fn is_json(fields: &HeaderMap) -> bool {
    let media = fields
        .get(CONTENT_TYPE)
        .and_then(|media| media.to_str().ok());
    let media = media.and_then(|media| media.split(';').next());
    media.is_some_and(|media| media.trim_end().ends_with("json"))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn targets() {
        let check = |url: &str, expected: Option<(&str, u16, &str, &str)>| {
            let target = Target::of(&url.parse().unwrap()).ok();
            let found = target.as_ref().map(|target| {
                let field = target.field.to_str().unwrap();
                (&*target.host, target.port, field, target.path.as_str())
            });
            assert_eq!(found, expected, "{url}");
        };
        check(
            "https://acme.example/dir?x=1",
            Some(("acme.example", 443, "acme.example", "/dir?x=1")),
        );
        check(
            "https://acme.example:14000",
            Some(("acme.example", 14000, "acme.example:14000", "/")),
        );
        check("https://[::1]:1/d", Some(("::1", 1, "[::1]:1", "/d")));
        check("http://acme.example/dir", None);
        check("/dir", None);
    }

    #[test]
    fn pauses_that_the_server_asks_for() {
        let check = |value: &str, expected: Option<u64>| {
            let mut fields = HeaderMap::new();
            fields.insert(RETRY_AFTER, value.parse().unwrap());
            let found = retry_after(&fields, UNIX_EPOCH + Duration::from_secs(1000));
            let found = found.map(|time| time.duration_since(UNIX_EPOCH).unwrap().as_secs());
            assert_eq!(found, expected, "{value}");
        };
        check("120", Some(1120));
        check(" 7 ", Some(1007));
        check("Thu, 01 Jan 1970 01:00:00 GMT", Some(3600));
        check("soon", None);
        check("", None);
        check("-1", None);
    }

    #[test]
    fn media_types() {
        let check = |value: &str, expected| {
            let mut fields = HeaderMap::new();
            fields.insert(CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(is_json(&fields), expected, "{value}");
        };
        check("application/problem+json; charset=utf-8", true);
        check("application/json", true);
        check("text/html", false);
    }
}
