//! Whoever makes releases: keys, signatures, changes of keys. And what an attacker makes of them.

use std::fs;
use std::path::Path;

use pikit_updater::release::PublicKey;
use serde_json::{Value, json};

/// A pair of keys.
pub struct Key(minisign::KeyPair);

impl Key {
    pub fn new() -> Self {
        Key(minisign::KeyPair::generate_unencrypted_keypair().unwrap())
    }
    /// The line of the public key.
    pub fn line(&self) -> String {
        self.0.pk.to_base64()
    }
    pub fn id(&self) -> String {
        PublicKey::parse(&self.line()).unwrap().id().to_string()
    }
    /// The file that lies in a device's folder of keys.
    pub fn public(&self) -> String {
        format!("untrusted comment: minisign public key {}\n{}\n", self.id(), self.line())
    }
    pub fn sign(&self, bytes: &[u8]) -> String {
        minisign::sign(None, &self.0.sk, bytes, Some("signed by a test"), None).unwrap().into_string()
    }
}

/// Signatures one after the other.
pub fn signatures(bytes: &[u8], keys: &[&Key]) -> String {
    keys.iter().map(|k| k.sign(bytes)).collect()
}

/// Signs the manifest of a release's folder.
pub fn sign(release: &Path, keys: &[&Key]) {
    let bytes = fs::read(release.join("manifest.json")).unwrap();
    fs::write(release.join("manifest.json.minisig"), signatures(&bytes, keys)).unwrap();
}

/// Changes the manifest of a release's folder; its signature holds no more.
pub fn edit(release: &Path, change: impl FnOnce(&mut Value)) {
    let path = release.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(path, serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
}

/// A step to other keys, signed by these.
pub fn step(version: u64, keys: &[&Key], threshold: usize, signers: &[&Key]) -> Value {
    let lines: Vec<String> = keys.iter().map(|k| k.line()).collect();
    let text = json!({"version": version, "keys": lines, "threshold": threshold, "product": "pikit"}).to_string();
    json!({"signed": text, "signatures": signatures(text.as_bytes(), signers)})
}

/// What a manifest says of its keys.
pub fn trust(version: u64, keys: &[&Key], threshold: usize, steps: &[Value]) -> Value {
    let lines: Vec<String> = keys.iter().map(|k| k.line()).collect();
    json!({"version": version, "keys": lines, "threshold": threshold, "steps": steps})
}
