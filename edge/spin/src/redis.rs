//! The store in Redis: for any number of edges, and as durable as its append-only file.
//!
//! What is done atomically is in [`scripts`](crate::scripts); where the keys are is in [`slotkeeper_core::redis`]. The
//! outboxes are streams that the origin empties by itself.
//!
//! Each open is a TCP connection, so one is kept between requests and dropped after any error. The host never gives up
//! waiting, so every call is raced against the deadline; a commit that lost that race may land all the same, and the next
//! view of the same break finds it.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use slotkeeper_core::{
    id::{BreakId, OpportunityId, ViewerKey},
    redis::{PLAN_IN_FORCE_KEY, Shard, Shards},
    time::UnixMillis,
};
use slotkeeper_edge::{
    platform::store_call,
    settings::SettingsError,
    store::{Commit, Committed, Holder, NewState, Store, StoreError, View},
};
use spin_sdk::{
    redis::{Connection, Error, RedisParameter, RedisResult},
    time,
};

use crate::{
    platform::now,
    scripts::{COMMIT, FORGET, HOLDER, PLAN_IN_FORCE, PUT_PLAN_IN_FORCE, SETTLE, Script, VIEW},
};

/// How long an instance decides from the plan it last heard of before it asks again: the plan's version is in another
/// shard than the viewer, so a view cannot bring it along.
const PLAN_FRESH_MS: u64 = 1_000;
/// How long an ended state or answer is kept all the same, so that no decision in flight can meet a state that was
/// forgotten and begun again, whatever the clocks of edge and Redis say.
const GRACE_MS: u64 = 3_600_000;

thread_local! {
    static CONNECTION: RefCell<Option<Rc<Connection>>> = const { RefCell::new(None) };
    /// The version of the plan in force, and when it was asked for.
    static PLAN_HEARD_OF: Cell<Option<(u64, UnixMillis)>> = const { Cell::new(None) };
}

/// The server, as configured.
pub(crate) struct Server {
    /// `redis_url` with `redis_auth` in it.
    address: String,
    /// `redis_shards`.
    shards: Shards,
}

impl Server {
    pub(crate) const NAMES: [&'static str; 3] = ["redis_url", "redis_auth", "redis_shards"];

    /// Reads the settings through a look-up. An empty value is a missing one.
    pub(crate) fn read(get: impl Fn(&'static str) -> Option<String>) -> Result<Self, SettingsError> {
        let given = |name| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let url = given("redis_url").ok_or(SettingsError::Missing("redis_url"))?;
        let plain = url.split_once("://").filter(|(scheme, place)| {
            ["redis", "rediss"].contains(scheme) && !place.is_empty() && !place.contains('@')
        });
        let (scheme, place) = plain.ok_or(SettingsError::Invalid {
            name: "redis_url",
            expected: "must be redis://HOST:PORT or rediss://HOST:PORT; a password goes into redis_auth",
        })?;
        let address = match given("redis_auth") {
            None => url.clone(),
            Some(auth) => {
                let (user, password) = auth.split_once(':').ok_or(SettingsError::Invalid {
                    name: "redis_auth",
                    expected: "must be USER:PASSWORD, or :PASSWORD for the default user",
                })?;
                format!("{scheme}://{}:{}@{place}", percent_encoded(user), percent_encoded(password))
            }
        };
        let shards = given("redis_shards").map_or(Ok(Shards::default()), |text| text.parse());
        let shards = shards.map_err(|_| SettingsError::Invalid {
            name: "redis_shards",
            expected: "must be a whole number of shards from 1 to 65536",
        })?;
        Ok(Self { address, shards })
    }
}

fn percent_encoded(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}

/// One request's use of the server.
pub(crate) struct SpinRedis {
    server: Rc<Server>,
    deadline_ms: u64,
    trips: Cell<u32>,
}

impl SpinRedis {
    pub(crate) fn new(server: Rc<Server>, deadline_ms: u64) -> Self {
        Self { server, deadline_ms, trips: Cell::new(0) }
    }

    /// How many commands this request has sent.
    pub(crate) fn trips(&self) -> u32 {
        self.trips.get()
    }

    pub(crate) async fn plan_in_force(&self) -> Result<Option<u64>, StoreError> {
        let version = self.run(&PLAN_IN_FORCE, &[PLAN_IN_FORCE_KEY.into()], vec![]).await?.number()?;
        heard_of(version);
        Ok((version > 0).then_some(version))
    }

    /// Puts a plan in force unless a newer one is, and answers which is.
    pub(crate) async fn put_plan_in_force(&self, version: u64) -> Result<u64, StoreError> {
        let current =
            self.run(&PUT_PLAN_IN_FORCE, &[PLAN_IN_FORCE_KEY.into()], vec![text(&version)]).await?.number()?;
        heard_of(current);
        Ok(current)
    }

    /// As [`Self::plan_in_force`], but what this instance has heard is good for a second; and while Redis does not say, for
    /// longer.
    async fn recent_plan_in_force(&self) -> Option<u64> {
        let heard = PLAN_HEARD_OF.get();
        if let Some((version, at)) = heard {
            if now().0.abs_diff(at.0) < PLAN_FRESH_MS {
                return (version > 0).then_some(version);
            }
            heard_of(version); // one request asks, its neighbours go on meanwhile
        }
        self.plan_in_force().await.unwrap_or(heard.map(|(version, _)| version).filter(|version| *version > 0))
    }

    fn shard_of(&self, bucket: u16) -> Shard {
        self.server.shards.of(bucket)
    }

    /// One call within the deadline. After an error the connection is not used again.
    async fn run(
        &self,
        script: &Script,
        keys: &[String],
        arguments: Vec<RedisParameter>,
    ) -> Result<Answer, StoreError> {
        let timer = time::sleep(Duration::from_millis(self.deadline_ms));
        let answer = store_call(timer, self.deadline_ms, async {
            let connection = self.connection().await?;
            let mut rest = vec![text(&keys.len())];
            rest.extend(keys.iter().map(text));
            rest.extend(arguments);
            match self.execute(&connection, "EVALSHA", text(&script.hash()), &rest).await {
                // Redis has been restarted, or never heard of it. Nothing has been done.
                Err(Error::Other(error)) if is_unknown_script(&error) => {
                    self.execute(&connection, "EVAL", text(&script.text), &rest).await
                }
                answer => answer,
            }
            .map_err(failed)
        })
        .await;
        if answer.is_err() {
            CONNECTION.set(None);
        }
        Ok(Answer { script: script.name, values: answer?.into_iter() })
    }

    async fn execute(
        &self,
        connection: &Connection,
        command: &str,
        script: RedisParameter,
        rest: &[RedisParameter],
    ) -> Result<Vec<RedisResult>, Error> {
        self.trips.set(self.trips.get() + 1);
        connection.execute(command, std::iter::once(script).chain(rest.iter().cloned())).await
    }

    async fn connection(&self) -> Result<Rc<Connection>, StoreError> {
        if let Some(connection) = CONNECTION.with_borrow(Clone::clone) {
            return Ok(connection);
        }
        let connection = Rc::new(Connection::open(&self.server.address).await.map_err(failed)?);
        CONNECTION.set(Some(connection.clone()));
        Ok(connection)
    }
}

impl Store for SpinRedis {
    async fn view(&self, viewer: ViewerKey, break_id: BreakId) -> Result<View, StoreError> {
        let plan_version = self.recent_plan_in_force().await;
        let shard = self.shard_of(viewer.bucket());
        let keys = [shard.viewer(viewer), shard.answer(break_id.stem())];
        let mut answer = self.run(&VIEW, &keys, vec![]).await?;
        let (state_version, state) = (answer.number()?, answer.bytes()?);
        let (is_answered, whose, answered) = (answer.flag()?, answer.bytes()?, answer.bytes()?);
        if is_answered && whose != break_id.0 {
            let message =
                format!("another break is known by the stem of break {break_id}; it is not committed beside it");
            return Err(StoreError::Failed(message));
        }
        Ok(View { state_version, state, answered: is_answered.then_some(answered), plan_version })
    }

    async fn commit(&self, commit: &Commit) -> Result<Committed, StoreError> {
        let shard = self.shard_of(commit.viewer.bucket());
        let keys = [shard.viewer(commit.viewer), shard.answer(commit.break_id.stem()), shard.outbox()];
        let mut arguments = vec![
            binary(&commit.break_id.0),
            text(&commit.viewer),
            binary(&commit.answer),
            ends_at(commit.remember_until),
            text(&commit.facts),
        ];
        arguments.extend(commit.new_state.iter().flat_map(state_arguments));
        self.run(&COMMIT, &keys, arguments).await?.committed()
    }

    async fn holder(&self, slot: OpportunityId) -> Result<Option<Holder>, StoreError> {
        let shard = self.shard_of(slot.bucket());
        let keys = [shard.answer(slot.break_stem())];
        let mut answer = self.run(&HOLDER, &keys, vec![text(&shard.viewers())]).await?;
        if !answer.flag()? {
            return Ok(None);
        }
        let viewer = answer.text()?.parse().map_err(|_| answer.unreadable())?;
        Ok(Some(Holder { viewer, state_version: answer.number()?, state: answer.bytes()? }))
    }

    async fn settle(&self, viewer: ViewerKey, new_state: &NewState) -> Result<Committed, StoreError> {
        let keys = [self.shard_of(viewer.bucket()).viewer(viewer)];
        self.run(&SETTLE, &keys, state_arguments(new_state).into()).await?.committed()
    }

    /// The answers that are remembered for retries are known by their breaks only, and end by themselves.
    async fn forget(&self, viewer: ViewerKey, now: UnixMillis) -> Result<(), StoreError> {
        let keys = [self.shard_of(viewer.bucket()).viewer(viewer)];
        self.run(&FORGET, &keys, vec![ends_at(now)]).await?.flag().map(|_| ())
    }
}

/// Version before, version after, state, when it ends.
fn state_arguments(state: &NewState) -> [RedisParameter; 4] {
    [text(&state.from_version), text(&(state.from_version + 1)), binary(&state.state), ends_at(state.keep_until)]
}

/// When what is needed until `until` may be forgotten.
fn ends_at(until: UnixMillis) -> RedisParameter {
    text(&until.max(now()).plus_ms(GRACE_MS).0.min(1 << 53)) // Redis refuses what is past its end of time
}

/// Notes a plan's version that is or was in force; a later one is not forgotten for it.
fn heard_of(version: u64) {
    let latest = PLAN_HEARD_OF.get().map_or(version, |(heard, _)| heard.max(version));
    PLAN_HEARD_OF.set(Some((latest, now())));
}

/// What a script answered: its values, place by place.
struct Answer {
    script: &'static str,
    values: std::vec::IntoIter<RedisResult>,
}

impl Answer {
    fn unreadable(&self) -> StoreError {
        StoreError::Failed(format!("redis answered what is not understood to the script {:?}", self.script))
    }

    fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        match self.values.next() {
            Some(RedisResult::Binary(bytes)) => Ok(bytes),
            _ => Err(self.unreadable()),
        }
    }

    fn text(&mut self) -> Result<String, StoreError> {
        String::from_utf8(self.bytes()?).map_err(|_| self.unreadable())
    }

    fn number(&mut self) -> Result<u64, StoreError> {
        self.text()?.parse().map_err(|_| self.unreadable())
    }

    fn flag(&mut self) -> Result<bool, StoreError> {
        match self.values.next() {
            Some(RedisResult::Int64(flag)) => Ok(flag == 1),
            _ => Err(self.unreadable()),
        }
    }

    fn committed(mut self) -> Result<Committed, StoreError> {
        Ok(if self.flag()? { Committed::Yes } else { Committed::Lost })
    }
}

/// Whether Redis says that it knows no script of this hash. Spin passes on its own client's words for it.
fn is_unknown_script(error: &str) -> bool {
    error.to_ascii_lowercase().contains("noscript")
}

fn text(value: &(impl ToString + ?Sized)) -> RedisParameter {
    RedisParameter::Binary(value.to_string().into_bytes())
}

fn binary(bytes: &[u8]) -> RedisParameter {
    RedisParameter::Binary(bytes.to_vec())
}

fn failed(error: Error) -> StoreError {
    StoreError::Failed(match error {
        Error::InvalidAddress => "redis_url is no address this component may connect to".into(),
        Error::Other(error) => format!("redis: {error}"),
        error => format!("redis: {error:?}"),
    })
}
