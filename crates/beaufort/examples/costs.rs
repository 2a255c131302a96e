//! What signatures cost, in microseconds: the median of several runs of each operation, as CSV.
//!
//!     cargo run --release -p beaufort --example costs
//!     scripts/wasm-costs.sh
//!
//! Messages that are verified have been hashed before, as a replica does that signed them itself.
//! The simulator charges these costs to its replicas' clocks (docs/beaufort/costs.md).

use std::hint::black_box;

use beaufort::{
    Claim, Digest, MemberId, Scheme as _, Signers,
    bls::{Bls, Point, PublicKey, SecretKey, Verifier},
};

const MEMBERS: u16 = 100;
const QUORUM: u16 = 67;
/// Runs of which the median counts, and how many milliseconds each takes at least.
const RUNS: usize = 9;
const RUN: f64 = 20.0;

fn main() {
    host::line("operation,microseconds");
    let secret = SecretKey::from_seed(&[1; 32]);
    let key = secret.public().to_bytes();
    let point = Bls.sign(&secret, &[1; 32]);
    let signature = Bls.encode(&point);
    measure("decode a key", || PublicKey::from_bytes(&key).is_ok());
    let mut number: u64 = 0;
    measure("sign", || {
        number += 1;
        let mut message = [0; 32];
        message[..8].copy_from_slice(&number.to_le_bytes());
        Bls.sign(&secret, &message)
    });
    measure("sign what was hashed before", || {
        Bls.sign(&secret, &[1; 32])
    });
    measure("decode", || Bls.decode(&signature));
    let mut sum = point;
    measure("add", || Bls.add(&mut sum, &point));
    measure("encode a sum", || Bls.encode(&sum));

    let network = Network::new();
    let texts: Vec<_> = network.keys.iter().map(ToString::to_string).collect();
    measure("decode 100 keys", || PublicKey::parse_all(&texts).is_ok());
    measure("prepare 100 keys", || Bls.verifier(&network.keys));
    for signers in [1, QUORUM, MEMBERS] {
        let claim = network.claim(1, signers, 1);
        measure(&format!("verify 1 claim of {signers} signers"), || {
            network.verify(&[&claim])
        });
    }
    for count in [3, 15] {
        let claim = network.claim(1, QUORUM, count);
        let operation = format!("verify 1 claim of {QUORUM} signers counted up to {count} times");
        measure(&operation, || network.verify(&[&claim]));
    }
    for batch in [2, 5, 10, 20, 50] {
        let claims: Vec<_> = (0..batch)
            .map(|message| network.claim(message, QUORUM, 1))
            .collect();
        let claims: Vec<_> = claims.iter().collect();
        measure(
            &format!("verify {batch} claims of {QUORUM} signers"),
            || network.verify(&claims),
        );
    }
}

struct Network {
    secrets: Vec<SecretKey>,
    keys: Vec<PublicKey>,
    verifier: Verifier,
}

type Signed = (Digest, Signers, Point);

impl Network {
    fn new() -> Self {
        let secrets: Vec<_> = (0..MEMBERS as u8)
            .map(|seed| SecretKey::from_seed(&[seed; 32]))
            .collect();
        let keys: Vec<_> = secrets.iter().map(|secret| Bls.public(secret)).collect();
        let verifier = Bls.verifier(&keys);
        Self {
            secrets,
            keys,
            verifier,
        }
    }

    /// What the first members signed, some of them several times.
    fn claim(&self, message: u8, signers: u16, most: u16) -> Signed {
        let message = [message; 32];
        let mut all = Signers::none(self.secrets.len());
        let mut sum = None;
        for (member, secret) in (0..signers).zip(&self.secrets) {
            let point = Bls.sign(secret, &message);
            let one = Signers::one(self.secrets.len(), MemberId(member));
            for _ in 0..1 + member % most {
                all = all.plus(&one).expect("counts are small");
                match &mut sum {
                    None => sum = Some(point),
                    Some(sum) => Bls.add(sum, &point),
                }
            }
        }
        (message, all, sum.expect("somebody signs"))
    }

    fn verify(&self, claims: &[&Signed]) {
        let claim = |(message, signers, signature)| Claim {
            message,
            signers,
            signature,
        };
        let claims: Vec<_> = claims
            .iter()
            .map(|(message, signers, point)| claim((message, signers, point)))
            .collect();
        assert!(Bls.verify(&self.verifier, &claims, &[7; 32]));
    }
}

/// Prints the median time of an operation.
fn measure<T>(operation: &str, mut run: impl FnMut() -> T) {
    let mut time = |times: u32| {
        let begin = host::milliseconds();
        for _ in 0..times {
            black_box(run());
        }
        host::milliseconds() - begin
    };
    let mut times = 1;
    while time(times) < RUN {
        times *= 2;
    }
    let mut runs: Vec<_> = (0..RUNS)
        .map(|_| time(times) * 1000.0 / f64::from(times))
        .collect();
    runs.sort_by(f64::total_cmp);
    host::line(&format!("{operation},{:.1}", runs[RUNS / 2]));
}

/// The clock and the output of a program.
#[cfg(not(target_arch = "wasm32"))]
mod host {
    use std::{fs, sync::LazyLock, time::Instant};

    static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

    /// The processor's time for this thread where Linux tells it, so that other programs matter less.
    pub fn milliseconds() -> f64 {
        let schedule = fs::read_to_string("/proc/thread-self/schedstat").ok();
        let running = schedule.and_then(|fields| fields.split(' ').next()?.parse::<f64>().ok());
        running.map_or_else(
            || BEGIN.elapsed().as_secs_f64() * 1e3,
            |nanoseconds| nanoseconds / 1e6,
        )
    }

    pub fn line(text: &str) {
        println!("{text}");
    }
}

/// The clock and the output of a module without a system: those of who runs it (scripts/wasm-costs.mjs).
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "a module's imports are unsafe by nature")]
mod host {
    mod import {
        #[link(wasm_import_module = "host")]
        unsafe extern "C" {
            pub safe fn milliseconds() -> f64;
            pub safe fn line(text: *const u8, length: usize);
        }
    }

    pub fn milliseconds() -> f64 {
        import::milliseconds()
    }

    pub fn line(text: &str) {
        import::line(text.as_ptr(), text.len());
    }
}
