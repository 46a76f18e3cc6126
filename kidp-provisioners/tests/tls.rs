//! TLS of every engine on the cluster of `KUBECONFIG`: with a certificate that a user names, and with cert-manager's.
//!
//! ```text
//! cargo test -p kidp-provisioners --features cluster --test tls
//! ```
//! Each engine is asked through its own client and through `openssl`, which the image of RabbitMQ carries: whether the
//! chain and the name of the server verify, which certificate is served, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic)] // A test's helpers may fail the test.

#[path = "support/authority.rs"]
mod authority;
#[path = "support/bench.rs"]
#[allow(dead_code)] // A part of it is used.
mod bench;
#[path = "tls/cert_manager.rs"]
mod cert_manager;
#[path = "tls/clients.rs"]
mod clients;
#[path = "tls/named.rs"]
mod named;

use std::collections::BTreeMap;

use authority::secret;
use bench::Bench;
use clients::{Client, TLS_IMAGE};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};

const SECRET: &str = "orders-certificate";

impl Bench {
    /// Name that clients connect to.
    fn host(&self) -> String {
        format!("{}.{}.svc", self.base(), self.namespace)
    }

    /// Puts a certificate where a user would.
    async fn put_certificate(&self, data: BTreeMap<String, ByteString>) {
        let params = PatchParams::apply("kidp-test").force();
        let object = secret(SECRET, data);
        self.api::<Secret>()
            .patch(SECRET, &params, &Patch::Apply(&object))
            .await
            .unwrap();
    }

    /// What a TLS client of these options says; it ends with `refused` where there was no connection.
    async fn handshake(&self, client: &Client, options: &str) -> String {
        let script = format!(
            "host=$(cat /binding/host) port=$(cat /binding/port)\n\
             timeout 20 openssl s_client -connect \"$host:$port\" {} -servername \"$host\" -CAfile /binding/ca.crt \\\n\
             -verify_return_error {options} < /dev/null 2>&1 || echo refused",
            client.starttls
        );
        self.client(TLS_IMAGE, 999, &script).await
    }

    /// Serial number of the certificate that is served to a client that verifies chain and name.
    async fn served(&self, client: &Client) -> String {
        let answer = self
            .handshake(client, &format!("-verify_hostname {}", self.host()))
            .await;
        assert!(answer.contains("Verify return code: 0 (ok)"), "{answer}");
        let script = format!("cat > /tmp/c <<'END'\n{answer}\nEND\nopenssl x509 -in /tmp/c -noout -serial");
        let serial = self.client(TLS_IMAGE, 999, &script).await;
        serial.trim().trim_start_matches("serial=").to_owned()
    }

    /// The engine's own client is served; a plain one, one that wants another name, and one of an older version are not.
    async fn proves(&self, client: &Client) {
        let answer = self.client(client.image, 999, client.over_tls).await;
        println!("over TLS: {}", answer.trim());
        assert!(answer.contains(client.answer), "{answer}");
        let plain = self.client(client.image, 999, client.plain).await;
        println!("plain: {}", plain.trim());
        assert!(plain.contains(client.refusal), "{plain}");
        let other = self.handshake(client, "-verify_hostname other.example.com").await;
        assert!(
            other.contains("refused") && other.contains("ostname mismatch"),
            "{other}"
        );
        let newer = self.handshake(client, "-tls1_3").await;
        assert!(newer.contains("TLSv1.3") && !newer.contains("refused"), "{newer}");
        let older = self.handshake(client, "-tls1_2").await;
        println!(
            "TLS 1.2: {}",
            older.lines().find(|l| l.contains("alert")).unwrap_or("no alert")
        );
        if client.honours_lowest {
            assert!(older.contains("refused") && older.contains("alert"), "{older}");
        }
    }
}
