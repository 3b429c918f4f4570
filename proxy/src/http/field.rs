//! Field names that the proxy has rules for.
//!
//! A name is classified once, when its line is parsed. All later rules compare kinds and test bits.
//! Pure; called by `message` and by both protocol versions.

mod origin;

/// Declares [`FieldKind`] with the canonical spelling of each name.
macro_rules! field_kinds {
    ($($kind:ident = $name:literal),+ $(,)?) => {
        /// A field name that the proxy has a rule for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum FieldKind {
            $(#[doc = concat!("`", $name, "`.")] $kind,)+
            /// Another field by which servers identify clients. Covers many names, such as
            /// `X-Real-IP` and `X-Forwarded-Port`.
            Origin,
            /// A name that becomes the same CGI variable as a name by which servers identify
            /// clients, such as `X_Forwarded_For`.
            OriginLookalike,
            /// Any other name.
            Other,
        }

        impl FieldKind {
            /// Every kind that stands for one name.
            pub const NAMED: &'static [FieldKind] = &[$(FieldKind::$kind),+];

            /// Returns the name as this proxy writes it. Empty for a kind of many names.
            #[inline]
            pub const fn name(self) -> &'static str {
                match self {
                    $(FieldKind::$kind => $name,)+
                    FieldKind::Origin | FieldKind::OriginLookalike | FieldKind::Other => "",
                }
            }

            /// Returns the name, a colon and a space.
            #[inline]
            pub const fn line_start(self) -> &'static str {
                match self {
                    $(FieldKind::$kind => concat!($name, ": "),)+
                    FieldKind::Origin | FieldKind::OriginLookalike | FieldKind::Other => "",
                }
            }
        }
    };
}

field_kinds! {
    Authorization = "Authorization",
    CacheControl = "Cache-Control",
    Connection = "Connection",
    ContentEncoding = "Content-Encoding",
    ContentLength = "Content-Length",
    ContentRange = "Content-Range",
    ContentType = "Content-Type",
    Cookie = "Cookie",
    Date = "Date",
    Expect = "Expect",
    Forwarded = "Forwarded",
    Host = "Host",
    Http2Settings = "HTTP2-Settings",
    KeepAlive = "Keep-Alive",
    MaxForwards = "Max-Forwards",
    ProxyAuthenticate = "Proxy-Authenticate",
    ProxyAuthorization = "Proxy-Authorization",
    ProxyConnection = "Proxy-Connection",
    SecWebSocketAccept = "Sec-WebSocket-Accept",
    SecWebSocketKey = "Sec-WebSocket-Key",
    SecWebSocketVersion = "Sec-WebSocket-Version",
    SetCookie = "Set-Cookie",
    Te = "TE",
    Trailer = "Trailer",
    TransferEncoding = "Transfer-Encoding",
    Upgrade = "Upgrade",
    Via = "Via",
    WwwAuthenticate = "WWW-Authenticate",
    XForwardedFor = "X-Forwarded-For",
    XForwardedHost = "X-Forwarded-Host",
    XForwardedProto = "X-Forwarded-Proto",
}

impl FieldKind {
    /// Classifies a name, ignoring case.
    ///
    /// `name` must be a token; parsers guarantee that. For nearly every name, its length and first
    /// letter leave at most one candidate, so most names need no comparison.
    #[inline]
    pub fn of(name: &[u8]) -> FieldKind {
        let Some(first) = name.first() else {
            return FieldKind::Other;
        };
        match (name.len(), first | 0x20) {
            (2, b't') if is(name, b"te") => FieldKind::Te,
            (3, b'v') if is(name, b"via") => FieldKind::Via,
            (4, b'd') if is(name, b"date") => FieldKind::Date,
            (4, b'h') if is(name, b"host") => FieldKind::Host,
            (6, b'c') if is(name, b"cookie") => FieldKind::Cookie,
            (6, b'e') if is(name, b"expect") => FieldKind::Expect,
            (7, b't') if is(name, b"trailer") => FieldKind::Trailer,
            (7, b'u') if is(name, b"upgrade") => FieldKind::Upgrade,
            (9, b'f') if is(name, b"forwarded") => FieldKind::Forwarded,
            (10, b'c') if is(name, b"connection") => FieldKind::Connection,
            (10, b'k') if is(name, b"keep-alive") => FieldKind::KeepAlive,
            (10, b's') if is(name, b"set-cookie") => FieldKind::SetCookie,
            (12, b'c') if is(name, b"content-type") => FieldKind::ContentType,
            (12, b'm') if is(name, b"max-forwards") => FieldKind::MaxForwards,
            (13, b'a') if is(name, b"authorization") => FieldKind::Authorization,
            (13, b'c') if is(name, b"cache-control") => FieldKind::CacheControl,
            (13, b'c') if is(name, b"content-range") => FieldKind::ContentRange,
            (14, b'c') if is(name, b"content-length") => FieldKind::ContentLength,
            (14, b'h') if is(name, b"http2-settings") => FieldKind::Http2Settings,
            (15, b'x') if is(name, b"x-forwarded-for") => FieldKind::XForwardedFor,
            (16, b'c') if is(name, b"content-encoding") => FieldKind::ContentEncoding,
            (16, b'p') if is(name, b"proxy-connection") => FieldKind::ProxyConnection,
            (16, b'w') if is(name, b"www-authenticate") => FieldKind::WwwAuthenticate,
            (16, b'x') if is(name, b"x-forwarded-host") => FieldKind::XForwardedHost,
            (17, b's') if is(name, b"sec-websocket-key") => FieldKind::SecWebSocketKey,
            (17, b't') if is(name, b"transfer-encoding") => FieldKind::TransferEncoding,
            (17, b'x') if is(name, b"x-forwarded-proto") => FieldKind::XForwardedProto,
            (18, b'p') if is(name, b"proxy-authenticate") => FieldKind::ProxyAuthenticate,
            (19, b'p') if is(name, b"proxy-authorization") => FieldKind::ProxyAuthorization,
            (20, b's') if is(name, b"sec-websocket-accept") => FieldKind::SecWebSocketAccept,
            (21, b's') if is(name, b"sec-websocket-version") => FieldKind::SecWebSocketVersion,
            (origin::MIN_LENGTH.., b'c' | b'f' | b't' | b'x') => origin::classify(name),
            _ => FieldKind::Other,
        }
    }

    /// Returns whether the kind stands for exactly one name.
    #[inline]
    pub const fn is_one_name(self) -> bool {
        !matches!(
            self,
            FieldKind::Origin | FieldKind::OriginLookalike | FieldKind::Other
        )
    }

    /// Returns whether the field is by definition meant for one connection (RFC 9110, section
    /// 7.6.1).
    #[inline]
    pub const fn is_hop_by_hop(self) -> bool {
        HeaderFlags::HOP_BY_HOP.has(self)
    }

    /// Returns whether the field stays even if `Connection` names it.
    ///
    /// RFC 9110, section 7.6.1, requires a proxy to remove each field that `Connection` names. But
    /// a peer must not be able to remove fields that frame or route the message. Nor may it remove
    /// those by which a trusted proxy identifies the client: an untrusted client of that proxy
    /// would then pass for the proxy itself.
    pub const fn is_protected(self) -> bool {
        HeaderFlags::PROTECTED.has(self)
    }
}

/// A set of field kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeaderFlags(u64);

impl HeaderFlags {
    /// The empty set.
    pub const EMPTY: HeaderFlags = HeaderFlags(0);

    const HOP_BY_HOP: HeaderFlags = HeaderFlags::of(&[
        FieldKind::Connection,
        FieldKind::Http2Settings,
        FieldKind::KeepAlive,
        FieldKind::ProxyConnection,
        FieldKind::Te,
        FieldKind::TransferEncoding,
        FieldKind::Upgrade,
    ]);

    const PROTECTED: HeaderFlags = HeaderFlags::of(&[
        FieldKind::ContentLength,
        FieldKind::Host,
        FieldKind::Trailer,
        FieldKind::Via,
    ])
    .with(HeaderFlags::ORIGIN);

    /// Fields that are not allowed in a trailer section: they frame, route, modify or authenticate
    /// a message, or control the processing of its content (RFC 9110, section 6.5.1).
    pub const NOT_IN_TRAILERS: HeaderFlags = HeaderFlags::HOP_BY_HOP
        .with(HeaderFlags::ORIGIN)
        .with(HeaderFlags::of(&[
            FieldKind::Authorization,
            FieldKind::CacheControl,
            FieldKind::ContentEncoding,
            FieldKind::ContentLength,
            FieldKind::ContentRange,
            FieldKind::ContentType,
            FieldKind::Cookie,
            FieldKind::Date,
            FieldKind::Expect,
            FieldKind::Host,
            FieldKind::MaxForwards,
            FieldKind::ProxyAuthenticate,
            FieldKind::ProxyAuthorization,
            FieldKind::SecWebSocketAccept,
            FieldKind::SecWebSocketKey,
            FieldKind::SecWebSocketVersion,
            FieldKind::SetCookie,
            FieldKind::Trailer,
            FieldKind::Via,
            FieldKind::WwwAuthenticate,
        ]));

    /// `X-Forwarded-For`, `X-Forwarded-Host` and `X-Forwarded-Proto`.
    pub const X_FORWARDED: HeaderFlags = HeaderFlags::of(&[
        FieldKind::XForwardedFor,
        FieldKind::XForwardedHost,
        FieldKind::XForwardedProto,
    ]);

    /// All fields by which servers identify clients, in any spelling.
    pub const ORIGIN: HeaderFlags = HeaderFlags::KNOWN_ORIGIN.with(HeaderFlags::of(&[
        FieldKind::Origin,
        FieldKind::OriginLookalike,
    ]));

    /// Fields by which servers identify clients and which this proxy reads.
    pub const KNOWN_ORIGIN: HeaderFlags =
        HeaderFlags::X_FORWARDED.with(HeaderFlags::of(&[FieldKind::Forwarded]));

    /// Returns the set of `kinds`.
    pub const fn of(kinds: &[FieldKind]) -> HeaderFlags {
        let mut flags = HeaderFlags::EMPTY;
        let mut index = 0;
        while index < kinds.len() {
            flags = flags.with(HeaderFlags::bit(kinds[index]));
            index += 1;
        }
        flags
    }

    const fn bit(kind: FieldKind) -> HeaderFlags {
        HeaderFlags(1 << kind as u8)
    }

    /// Adds `kind`.
    #[inline]
    pub const fn insert(&mut self, kind: FieldKind) {
        self.0 |= HeaderFlags::bit(kind).0;
    }

    /// Returns whether `kind` is in the set.
    #[inline]
    pub const fn has(self, kind: FieldKind) -> bool {
        self.0 & HeaderFlags::bit(kind).0 != 0
    }

    /// Returns whether the two sets have a kind in common.
    #[inline]
    pub const fn intersects(self, other: HeaderFlags) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the union of both sets.
    #[must_use]
    pub const fn with(self, other: HeaderFlags) -> HeaderFlags {
        HeaderFlags(self.0 | other.0)
    }
}

/// Returns whether the token `name` equals `lower`, ignoring case.
///
/// Among token bytes, setting bit 5 yields a given letter, digit or hyphen only from that byte
/// itself or from its capital. So no other name matches.
#[inline]
fn is<const N: usize>(name: &[u8], lower: &[u8; N]) -> bool {
    let Some(name) = name.first_chunk::<N>() else {
        return false;
    };
    let difference = |(byte, lower): (&u8, &u8)| (byte | 0x20) ^ lower;
    name.iter()
        .zip(lower)
        .map(difference)
        .fold(0, |all, one| all | one)
        == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_kind_in_any_case() {
        for &kind in FieldKind::NAMED {
            let name = kind.name();
            for spelling in [
                name.to_owned(),
                name.to_ascii_lowercase(),
                name.to_ascii_uppercase(),
            ] {
                assert_eq!(FieldKind::of(spelling.as_bytes()), kind, "{spelling}");
            }
            let mut other = name.as_bytes().to_vec();
            *other.last_mut().unwrap() ^= 1;
            assert_ne!(FieldKind::of(&other), kind, "{name}");
        }
        for name in [
            "",
            "x",
            "Accept",
            "Content-Lengths",
            "Content_Length",
            "H\u{f6}st",
        ] {
            assert_eq!(FieldKind::of(name.as_bytes()), FieldKind::Other, "{name}");
        }
        assert!((FieldKind::Other as u8) < 64, "HeaderFlags has 64 bits");
    }

    #[test]
    fn sets() {
        let mut flags = HeaderFlags::EMPTY;
        assert!(!flags.has(FieldKind::Host));
        flags.insert(FieldKind::Host);
        flags.insert(FieldKind::Other);
        assert!(flags.has(FieldKind::Host) && flags.has(FieldKind::Other));
        assert!(!flags.intersects(HeaderFlags::X_FORWARDED));
        assert!(FieldKind::Te.is_hop_by_hop() && !FieldKind::Via.is_hop_by_hop());
        assert!(HeaderFlags::NOT_IN_TRAILERS.has(FieldKind::Te));
        assert!(!HeaderFlags::NOT_IN_TRAILERS.has(FieldKind::Other));
    }
}
