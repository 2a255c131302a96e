//! Who is at the other end: TLS 1.3 with raw public keys (RFC 7250).
//!
//! A node's Ed25519 key is its TLS identity, and the peers' keys are pinned, so there are no
//! certificates, no authorities and no clock. Each side proves its key by signing the handshake.
//! TLS puts a context of its own in front of what it signs (RFC 8446, section 4.4.3), which no
//! statement of Plenary begins with: the key can serve both.
//!
//! The application protocol (ALPN) names the protocol's version and the genesis: nodes of two networks,
//! or of two versions, do not talk, even where an organization uses one key in both.

use plenary_types::{Genesis, PrivateKey, PublicKey};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, CommonState, DigitallySignedStruct,
    DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature_with_raw_key},
    pki_types::{
        CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime, alg_id,
    },
    server::{
        AlwaysResolvesServerRawPublicKeys,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, public_key_to_spki},
    version::TLS13,
};
use std::{collections::BTreeSet, io, sync::Arc};

/// What precedes the seed in the PKCS #8 form of an Ed25519 private key (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// A node's own key and network, as TLS wants them.
pub(super) struct Identity {
    key: Arc<CertifiedKey>,
    protocols: Vec<Vec<u8>>,
    provider: Arc<CryptoProvider>,
}

impl Identity {
    pub(super) fn new(key: &PrivateKey, genesis: &Genesis) -> Result<Self, Error> {
        let private = [&PKCS8_PREFIX[..], &key.to_seed()].concat();
        let private = aws_lc_rs::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(private))?;
        let public = CertificateDer::from(encode(&key.public_key()).to_vec());
        Ok(Self {
            key: Arc::new(CertifiedKey::new(vec![public], private)),
            protocols: vec![format!("plenary-session/3/{}", genesis.hash()).into_bytes()],
            provider: Arc::new(aws_lc_rs::default_provider()),
        })
    }

    /// For dialing exactly `peer`.
    pub(super) fn client(&self, peer: PublicKey) -> Result<Arc<ClientConfig>, Error> {
        let mut config = ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(self.pin(BTreeSet::from([peer])))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
                self.key.clone(),
            )));
        config.alpn_protocols = self.protocols.clone();
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(Arc::new(config))
    }

    /// For accepting any of `peers`.
    pub(super) fn server(&self, peers: BTreeSet<PublicKey>) -> Result<Arc<ServerConfig>, Error> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(self.pin(peers))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(
                self.key.clone(),
            )));
        config.alpn_protocols = self.protocols.clone();
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    fn pin(&self, keys: BTreeSet<PublicKey>) -> Arc<Pinned> {
        Arc::new(Pinned {
            keys,
            provider: self.provider.clone(),
        })
    }
}

/// Who is at the other end of a connection after its handshake. `None`: no key, or the peer named no
/// network.
pub(super) fn peer(connection: &CommonState) -> Option<PublicKey> {
    connection.alpn_protocol()?;
    decode(connection.peer_certificates()?.first()?)
}

/// What a failed handshake means, where TLS's own words do not say it.
pub(super) fn explained(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => io::Error::other(
            "it is of another network, or runs another version of the service or of this program: run the same, with the same genesis, at both",
        ),
        _ => error,
    }
}

/// An Ed25519 public key as SubjectPublicKeyInfo (RFC 8410, section 4).
fn encode(key: &PublicKey) -> SubjectPublicKeyInfoDer<'static> {
    public_key_to_spki(&alg_id::ED25519, key.0)
}

/// The only encoding of an Ed25519 public key, and nothing else.
fn decode(spki: &[u8]) -> Option<PublicKey> {
    let key = PublicKey(*spki.last_chunk()?);
    (encode(&key).as_ref() == spki).then_some(key)
}

/// Takes the given keys, and no others.
#[derive(Debug)]
struct Pinned {
    keys: BTreeSet<PublicKey>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn check(&self, spki: &[u8]) -> Result<(), Error> {
        let key = decode(spki).ok_or(CertificateError::BadEncoding)?;
        if !self.keys.contains(&key) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(())
    }

    fn verify(
        &self,
        message: &[u8],
        spki: &[u8],
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(spki),
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is switched off".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, spki, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is switched off".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify(message, spki, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::peers::tests::{genesis, key};
    use rustls::{ClientConnection, ConnectionCommon, ServerConnection, SideData};

    fn identity(seed: u8) -> Identity {
        Identity::new(&key(seed), &genesis("one", 3)).unwrap()
    }

    /// Carries what one side has written to the other.
    fn carry<A: SideData, B: SideData>(
        from: &mut ConnectionCommon<A>,
        to: &mut ConnectionCommon<B>,
    ) -> Result<(), Error> {
        let mut bytes = Vec::new();
        while from.wants_write() {
            from.write_tls(&mut bytes).unwrap();
        }
        let mut bytes = bytes.as_slice();
        while !bytes.is_empty() {
            to.read_tls(&mut bytes).unwrap();
            to.process_new_packets()?;
        }
        Ok(())
    }

    /// Whom the server and the client see at the other end, when `client` dials key 2 where `server`
    /// listens for keys 1 and 3.
    fn handshake(client: &Identity, server: &Identity) -> Result<[Option<PublicKey>; 2], Error> {
        let peers = BTreeSet::from([key(1).public_key(), key(3).public_key()]);
        let name = ServerName::from(std::net::Ipv4Addr::LOCALHOST);
        let config = client.client(key(2).public_key())?;
        let mut client = ClientConnection::new(config, name)?;
        let mut server = ServerConnection::new(server.server(peers)?)?;
        while client.is_handshaking() || server.is_handshaking() {
            carry(&mut client, &mut server)?;
            carry(&mut server, &mut client)?;
        }
        Ok([peer(&server), peer(&client)])
    }

    #[test]
    fn each_side_knows_the_others_key() {
        let seen = handshake(&identity(1), &identity(2)).unwrap();
        assert_eq!(seen, [1, 2].map(|seed| Some(key(seed).public_key())));
    }

    #[test]
    fn keys_that_are_not_pinned_are_refused_by_either_side() {
        let refused = Error::from(CertificateError::ApplicationVerificationFailure);
        assert_eq!(handshake(&identity(4), &identity(2)), Err(refused.clone()));
        // Key 3 is a session node's, but not the one that was dialed.
        assert_eq!(handshake(&identity(1), &identity(3)), Err(refused));
    }

    #[test]
    fn a_key_without_its_private_half_is_refused_by_either_side() {
        let claiming = |seed| {
            let public = CertificateDer::from(encode(&key(seed).public_key()).to_vec());
            let mut identity = identity(4);
            let private = identity.key.key.clone();
            identity.key = Arc::new(CertifiedKey::new(vec![public], private));
            identity
        };
        let refused = Error::from(CertificateError::BadSignature);
        assert_eq!(handshake(&claiming(1), &identity(2)), Err(refused.clone()));
        assert_eq!(handshake(&identity(1), &claiming(2)), Err(refused));
    }

    #[test]
    fn a_node_of_another_network_is_refused() {
        let other = |seed| Identity::new(&key(seed), &genesis("other", 3)).unwrap();
        assert_eq!(
            handshake(&other(1), &identity(2)),
            Err(Error::NoApplicationProtocol)
        );
        let mut nameless = identity(1);
        nameless.protocols.clear();
        assert_eq!(handshake(&nameless, &identity(2)), Ok([None, None]));
    }

    #[test]
    fn nothing_but_an_ed25519_key_decodes_as_one() {
        let key = key(1).public_key();
        let spki = encode(&key);
        assert_eq!(decode(&spki), Some(key));
        assert_eq!(decode(&spki[1..]), None);
        assert_eq!(decode(&[&spki, &[0][..]].concat()), None);
        assert_eq!(decode(&public_key_to_spki(&alg_id::ED448, key.0)), None);
        assert_eq!(decode(&[]), None);
    }
}
