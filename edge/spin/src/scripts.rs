//! What Redis executes: one script a call, so one call is one step that nothing comes between.
//!
//! A script that fails half way keeps what it wrote. So each checks first, then makes the one write that can be refused
//! (out of memory, a key of another type), and after that only writes that cannot. All keys of a call have one hash tag.
//! Answers are flat lists without nils, because Spin flattens them: every place has one meaning.

use sha1_smol::Sha1;

/// A script, known to Redis by its hash once it was sent in full.
pub(crate) struct Script {
    /// What it is called in an error.
    pub(crate) name: &'static str,
    /// Lua.
    pub(crate) text: &'static str,
}

impl Script {
    /// The name that Redis gives it.
    pub(crate) fn hash(&self) -> String {
        Sha1::from(self.text).digest().to_string()
    }
}

/// Keys: viewer, answer. Answers: state version, state, whether there is an answer (1 or 0), its break id, the answer.
pub(crate) const VIEW: Script = Script {
    name: "view",
    text: "
local v = redis.call('HMGET', KEYS[1], 'n', 's')
local a = redis.call('HMGET', KEYS[2], 'b', 'a')
return {v[1] or '0', v[2] or '', a[1] and 1 or 0, a[1] or '', a[2] or ''}",
};

/// Keys: viewer, answer, outbox. Arguments: break id, viewer in hexadecimal, answer, when the answer ends, facts; then, if
/// the viewer's state changes: version before, version after, state, when the state ends. Answers 1, or 0 if it lost: the
/// break has an answer, or the viewer's state is of another version. An error if the outbox is full: a bound, so that an
/// origin that is away for long does not cost the memory of all the rest.
///
/// The append comes first among the writes: it is the one that a full memory or a foreign key can refuse.
pub(crate) const COMMIT: Script = Script {
    name: "commit",
    text: "
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if ARGV[6] and (redis.call('HGET', KEYS[1], 'n') or '0') ~= ARGV[6] then return 0 end
if redis.call('XLEN', KEYS[3]) >= 100000 then return redis.error_reply('ERR the outbox is full') end
redis.call('XADD', KEYS[3], '*', 'f', ARGV[5])
redis.call('HSET', KEYS[2], 'b', ARGV[1], 'v', ARGV[2], 'a', ARGV[3])
redis.call('PEXPIREAT', KEYS[2], ARGV[4])
if ARGV[6] then
  redis.call('HSET', KEYS[1], 'n', ARGV[7], 's', ARGV[8])
  redis.call('PEXPIREAT', KEYS[1], ARGV[9])
end
return 1",
};

/// Key: answer. Argument: what the keys of viewers in this shard begin with. Answers: whether the break is known (1 or
/// 0), the viewer in hexadecimal, state version, state.
///
/// The viewer's key is found on the way, so it is not among the keys; it has the same hash tag.
pub(crate) const HOLDER: Script = Script {
    name: "holder",
    text: "
local viewer = redis.call('HGET', KEYS[1], 'v')
if not viewer then return {0, '', '0', ''} end
local v = redis.call('HMGET', ARGV[1] .. viewer, 'n', 's')
return {1, viewer, v[1] or '0', v[2] or ''}",
};

/// Key: viewer. Arguments: version before, version after, state, when the state ends. Answers 1, or 0 if it lost.
pub(crate) const SETTLE: Script = Script {
    name: "settle",
    text: "
if (redis.call('HGET', KEYS[1], 'n') or '0') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'n', ARGV[2], 's', ARGV[3])
redis.call('PEXPIREAT', KEYS[1], ARGV[4])
return 1",
};

/// Key: viewer. Argument: when what is left of them ends. Answers 1. The version goes on: begun again from nothing, a commit that
/// was decided from what is forgotten could not be told from a right one.
pub(crate) const FORGET: Script = Script {
    name: "forget",
    text: "
if redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('HSET', KEYS[1], 'n', string.format('%.0f', (redis.call('HGET', KEYS[1], 'n') or 0) + 1), 's', '')
  redis.call('PEXPIREAT', KEYS[1], ARGV[1])
end
return 1",
};

/// Key: the version of the plan in force. Argument: a version. Answers the version in force, which never goes back.
pub(crate) const PUT_PLAN_IN_FORCE: Script = Script {
    name: "put_plan_in_force",
    text: "
if tonumber(ARGV[1]) > tonumber(redis.call('GET', KEYS[1]) or '0') then redis.call('SET', KEYS[1], ARGV[1]) end
return redis.call('GET', KEYS[1]) or '0'",
};

/// Key: the version of the plan in force. Answers it, or 0 if there is none.
pub(crate) const PLAN_IN_FORCE: Script = Script {
    name: "plan_in_force",
    text: "
return redis.call('GET', KEYS[1]) or '0'",
};
