//! Room on the card, before the first byte.

use super::{Facts, Plan, Reason, Way};

/// Records of a transaction (journal, plan, state, history, log) beyond twice the plan's own size, bytes.
const RECORDS: u64 = 512 << 10;

/// Room on every file system that is written to, before the first byte.
pub fn lacking(plan: &Plan, facts: &Facts, min_free: u64) -> Vec<Reason> {
    let mut needed: Vec<u64> = vec![0; facts.volumes.len()];
    let mut written: Vec<bool> = vec![false; facts.volumes.len()];
    let records = RECORDS + 2 * plan.files.iter().map(|f| 200 + 2 * f.path.as_str().len() as u64).sum::<u64>();
    let blocks = |size: u64, volume: usize| {
        let block = facts.volumes[volume].block.max(1);
        // what a manifest claims is anybody's number
        size.checked_next_multiple_of(block).unwrap_or(u64::MAX).saturating_add(block)
    };
    let mut need = |volume: usize, bytes: u64| needed[volume] = needed[volume].saturating_add(bytes);
    need(facts.backup_volume, records);
    written[facts.backup_volume] = true;
    let mut unknown = false;
    for file in &plan.files {
        let volume = facts.units[file.unit].volume;
        if file.is_written() {
            written[volume] = true;
            unknown |= file.want.as_ref().is_some_and(|w| w.size.is_none());
            need(volume, blocks(file.want.as_ref().and_then(|w| w.size).unwrap_or(0), volume));
        }
        if let (true, Some(found)) = (plan.backup && file.is_backed_up(), &file.found) {
            // on its own file system a backup is a second name; elsewhere, and where the switch goes file by file, a copy
            if facts.backup_volume != volume {
                need(facts.backup_volume, blocks(found.size, facts.backup_volume));
            }
            if facts.units[file.unit].way == Way::PerFile {
                need(volume, blocks(found.size, volume));
            }
        }
    }
    if unknown {
        // the minimal manifest tells no sizes: at the least what is compressed must fit; the rest is watched while it arrives
        if let Some(file) = plan.files.iter().find(|f| f.is_written()) {
            need(facts.units[file.unit].volume, facts.bundle_size.unwrap_or(0));
        }
    }
    let mut reasons = Vec::new();
    for (volume, facts) in facts.volumes.iter().enumerate().filter(|(i, _)| written[*i]) {
        let at = facts.at.display().to_string();
        if facts.read_only {
            reasons.push(Reason::ReadOnly { at });
        } else if needed[volume].saturating_add(min_free) > facts.free {
            reasons.push(Reason::Space { at, needed: needed[volume].saturating_add(min_free), free: facts.free });
        }
    }
    reasons
}
