//! Events are what has changed between two looks at the state. One thread looks, for as long as somebody listens; it keeps what it has
//! told, so that whoever lost the line for a moment is told what they missed. The state is the truth, this is a view of it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::board::Board;
use super::watch::Watch;
use crate::error::Result;

/// Streams at a time.
pub const STREAMS: usize = 16;
/// Events kept for who was away.
const KEPT: usize = 256;
/// Longest time between two looks while somebody listens: a run that was killed changes no file.
const LOOK: Duration = Duration::from_secs(5);
/// The same while a run holds the lock: that it let go changes no file that is watched.
const LOOK_AT_WORK: Duration = Duration::from_millis(250);
/// How long it is looked on after the last listener has left: one that lost the line for a moment is told what it missed.
const GRACE: Duration = Duration::from_secs(60);

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Its place in the stream of this process.
    pub id: u64,
    /// `state`, `begun`, `phase`, `progress` or `result`.
    pub name: &'static str,
    /// JSON.
    pub data: String,
}

/// Where events go.
#[derive(Default)]
pub struct Hub {
    inner: Mutex<Inner>,
    /// Held while the board is read, which may take a while: looks are told in the order in which they were made. Who only comes, waits
    /// for news or goes does not wait for it.
    looking: Mutex<()>,
    news: Condvar,
    ended: AtomicBool,
}

struct Inner {
    kept: VecDeque<Arc<Told>>,
    last: Option<Value>,
    next: u64,
    listeners: usize,
    /// When the last listener left.
    deserted: Option<Instant>,
}

impl Default for Inner {
    fn default() -> Self {
        // from one on: before the first event, too, there is a number to come back with
        Inner { kept: VecDeque::new(), last: None, next: 1, listeners: 0, deserted: None }
    }
}

/// One who listens; leaving is dropping it.
pub struct Listener {
    hub: Arc<Hub>,
    seen: u64,
    /// It was here before, and is told what it missed.
    returned: bool,
    gone: Arc<AtomicBool>,
}

/// Ends a listener from outside.
pub struct Leaving {
    hub: Arc<Hub>,
    gone: Arc<AtomicBool>,
}

impl Leaving {
    /// Its next, or present, wait for news ends with none.
    pub fn leave(&self) {
        self.gone.store(true, Ordering::SeqCst);
        // taken and let go: a wait that has just looked and does not sleep yet would miss the call
        drop(self.hub.lock());
        self.hub.news.notify_all();
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Starts to listen after this event, or from now on; none: there are enough listeners.
    pub fn listen(self: &Arc<Self>, after: Option<u64>) -> Option<Listener> {
        let mut inner = self.lock();
        if inner.listeners >= STREAMS {
            return None;
        }
        inner.listeners += 1;
        self.news.notify_all();
        // a number from the life before this one, or one that is long gone, means nothing here
        let oldest = inner.kept.front().map_or(inner.next, |e| e.id);
        let after = after.filter(|id| *id < inner.next && *id + 1 >= oldest);
        Some(Listener { hub: Arc::clone(self), seen: after.map_or(inner.next, |id| id + 1), returned: after.is_some(), gone: Arc::default() })
    }
    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.lock().listeners
    }
    /// Ends every stream.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.news.notify_all();
    }
    /// Looks at the board while somebody listens, and a moment longer; never returns before [`Hub::end`].
    pub fn watch(&self, board: &dyn Board) {
        let mut watch = Watch::default();
        while !self.ended.load(Ordering::SeqCst) {
            {
                let mut inner = self.lock();
                if inner.listeners == 0 && inner.deserted.is_none_or(|at| at.elapsed() >= GRACE) {
                    // What happens unseen is no event: who comes is shown the state first. What was told before is not told again after it:
                    // it would be taken for news.
                    inner.last = None;
                    inner.kept.clear();
                    drop(self.news.wait_timeout(inner, Duration::from_secs(1)));
                    continue;
                }
            }
            // a state that cannot be read just now is read at the next look
            let _ = self.look(board);
            let at_work = self.lock().last.as_ref().is_some_and(|state| !state["busy"].is_null());
            board.wait(&mut watch, if at_work { LOOK_AT_WORK } else { LOOK });
        }
    }
    /// Compares the board with the last look.
    fn look(&self, board: &dyn Board) -> Result<()> {
        let _one = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let now = board.state()?;
        let mut inner = self.lock();
        if let Some(before) = &inner.last {
            let news = changes(before, &now);
            for (name, data) in news {
                let id = inner.next;
                inner.next += 1;
                inner.kept.push_back(Arc::new(Told { id, name, data: data.to_string() }));
                if inner.kept.len() > KEPT {
                    inner.kept.pop_front();
                }
            }
        }
        inner.last = Some(now);
        self.news.notify_all();
        Ok(())
    }
}

impl Listener {
    /// The state now, and the number of the first event that is told after it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn state(&mut self, board: &dyn Board) -> Result<(String, u64)> {
        self.hub.look(board)?;
        let inner = self.hub.lock();
        if !self.returned {
            // what this look found is in the state already
            self.seen = inner.next;
        }
        Ok((inner.last.as_ref().map(Value::to_string).unwrap_or_default(), self.seen))
    }
    /// How to end it from outside.
    pub fn leaving(&self) -> Leaving {
        Leaving { hub: Arc::clone(&self.hub), gone: Arc::clone(&self.gone) }
    }
    fn is_over(&self) -> bool {
        self.gone.load(Ordering::SeqCst) || self.hub.ended.load(Ordering::SeqCst)
    }
    /// What has happened since the last call, after at most this time; none: the stream is to end.
    pub fn news(&mut self, limit: Duration) -> Option<Vec<Arc<Told>>> {
        let mut inner = self.hub.lock();
        if inner.next <= self.seen {
            let waited = self.hub.news.wait_timeout_while(inner, limit, |inner| inner.next <= self.seen && !self.is_over());
            (inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if self.is_over() {
            return None;
        }
        let new: Vec<Arc<Told>> = inner.kept.iter().filter(|e| e.id >= self.seen).cloned().collect();
        self.seen = inner.next;
        Some(new)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut inner = self.hub.lock();
        inner.listeners -= 1;
        inner.deserted = Some(Instant::now());
    }
}

/// What to tell about the way from one state to the next: pure.
fn changes(before: &Value, now: &Value) -> Vec<(&'static str, Value)> {
    let mut told = Vec::new();
    let (old, new) = (&before["progress"], &now["progress"]);
    if new != old && new.is_object() {
        if new["transaction"] != old["transaction"] {
            told.push(("begun", json!({"transaction": new["transaction"]})));
        }
        if (&new["phase"], &new["message"]) != (&old["phase"], &old["message"]) {
            let keys = ["transaction", "action", "phase", "percent", "message"];
            let phase: serde_json::Map<_, _> = keys.iter().filter_map(|k| Some(((*k).to_owned(), new.get(k)?.clone()))).collect();
            told.push(("phase", phase.into()));
        }
        told.push(("progress", new.clone()));
    }
    if now["last_result"] != before["last_result"] && now["last_result"].is_object() {
        told.push(("result", now["last_result"].clone()));
    }
    let ended = &now["last_request"];
    if *ended != before["last_request"] && ended["ok"] == json!(false) && ended["transaction"] != now["last_result"]["transaction"] {
        let error = &ended["error"];
        told.push((
            "result",
            json!({"transaction": ended["transaction"], "action": ended["action"], "outcome": "failed", "code": error["code"],
                "reason": error["message"], "hint": error["hint"]}),
        ));
    }
    // the whole state whenever something changed that the events above do not carry, and when a run has ended
    let rest = |state: &Value| -> Value {
        let mut state = state.clone();
        if let Some(keys) = state.as_object_mut() {
            for moment in ["now", "progress", "busy"] {
                keys.remove(moment);
            }
        }
        state
    };
    if rest(before) != rest(now) || before["busy"].is_null() != now["busy"].is_null() || (old.is_object() && new.is_null()) {
        told.push(("state", now.clone()));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(before: &Value, now: &Value) -> Vec<&'static str> {
        changes(before, now).into_iter().map(|(name, _)| name).collect()
    }

    /// A board that takes as long as it is told to.
    struct Slow(Mutex<std::sync::mpsc::Receiver<Value>>);

    impl Board for Slow {
        fn state(&self) -> Result<Value> {
            Ok(self.0.lock().unwrap().recv().unwrap_or_default())
        }
        fn ping(&self) -> Value {
            Value::Null
        }
        fn plan(&self) -> Result<Option<Value>> {
            Ok(None)
        }
        fn history(&self) -> Result<Value> {
            Ok(Value::Null)
        }
        fn log(&self, _: Option<&str>) -> Result<Option<Value>> {
            Ok(None)
        }
        fn verify(&self) -> Result<Value> {
            Ok(Value::Null)
        }
        fn metrics(&self) -> Result<String> {
            Ok(String::new())
        }
        fn ask(&self, _: &crate::request::Request) -> Result<()> {
            Ok(())
        }
        fn receive(&self, _: &mut dyn std::io::Read, _: u64) -> Result<Value> {
            unreachable!()
        }
        fn answer(&self) -> Option<crate::request::Answer> {
            None
        }
        fn wait(&self, _: &mut Watch, _: Duration) {}
        fn new_id(&self) -> String {
            String::new()
        }
    }

    #[test]
    fn nobody_who_goes_waits_for_a_board_that_is_slow_to_look_at() {
        let (tell, told) = std::sync::mpsc::channel();
        let (hub, board) = (Arc::new(Hub::default()), Slow(Mutex::new(told)));
        let mut first = hub.listen(None).unwrap();
        std::thread::scope(|scope| {
            let looking = scope.spawn(|| first.state(&board).unwrap().0);
            while hub.looking.try_lock().is_ok() {
                std::thread::yield_now();
            }
            let other = hub.listen(None).unwrap();
            other.leaving().leave();
            drop(other);
            assert_eq!(hub.listeners(), 1);
            tell.send(json!({"now": 1})).unwrap();
            assert_eq!(looking.join().unwrap(), json!({"now": 1}).to_string());
        });
    }

    #[test]
    fn who_lost_the_line_is_told_what_they_missed_and_nothing_from_before_a_gap() {
        let (tell, told) = std::sync::mpsc::channel();
        let (hub, board) = (Arc::new(Hub::default()), Slow(Mutex::new(told)));
        let listener = hub.listen(None).unwrap();
        for percent in 0..3 {
            tell.send(json!({"progress": {"transaction": "t", "phase": "downloading", "percent": percent}})).unwrap();
            hub.look(&board).unwrap();
        }
        drop(listener);
        let back = hub.listen(Some(0)).unwrap();
        assert_eq!(back.seen, 1);
        drop(back);
        hub.lock().deserted = Instant::now().checked_sub(GRACE);
        std::thread::scope(|scope| {
            scope.spawn(|| hub.watch(&board));
            while hub.lock().last.is_some() {
                std::thread::yield_now();
            }
            hub.end();
        });
        let mut back = hub.listen(Some(0)).unwrap();
        hub.ended.store(false, Ordering::SeqCst);
        assert_eq!(back.news(Duration::ZERO), Some(vec![]), "what was told before the gap is no news after it");
    }

    #[test]
    fn what_changed_is_told_once_and_in_order() {
        let idle = json!({"now": 1, "current": "1.0.0", "progress": null, "busy": null, "last_result": null, "last_request": null});
        let mut later = idle.clone();
        later["now"] = json!(2);
        assert!(names(&idle, &later).is_empty(), "time passing is no event");

        let mut begun = later.clone();
        begun["busy"] = json!({"pid": 1});
        begun["progress"] = json!({"transaction": "t", "phase": "checking", "percent": 0, "message": "asking"});
        assert_eq!(names(&later, &begun), ["begun", "phase", "progress", "state"]);
        let mut moved = begun.clone();
        moved["progress"]["percent"] = json!(7);
        assert_eq!(names(&begun, &moved), ["progress"]);

        let mut done = moved.clone();
        done["progress"] = Value::Null;
        done["current"] = json!("1.1.0");
        done["last_result"] = json!({"transaction": "t", "outcome": "confirmed"});
        assert_eq!(names(&moved, &done), ["result", "state"]);

        let mut failed = later.clone();
        failed["last_request"] = json!({"transaction": "u", "action": "apply", "ok": false, "error": {"code": 3, "message": "no network"}});
        let told = changes(&later, &failed);
        assert_eq!(told[0].0, "result");
        assert_eq!((&told[0].1["code"], &told[0].1["reason"]), (&json!(3), &json!("no network")));
    }
}
