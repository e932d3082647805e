//! A shard of viewers: their claims, the answers given to them, and the outbox of their rows.

use std::cell::Cell;

use slotkeeper_core::id::ViewerKey;
use slotkeeper_edge::{
    auction::{auction, openrtb::Left},
    breaks::{Asked, decide_at},
    outbox::ship,
    route::path_of,
    settle::{Settling, settle_at},
    store::Store as _,
};
use worker::{DurableObject, Env, Request, Response, Result, State, durable_object};

use crate::{
    platform::{self, PLAN_TRIPS, deployment, now, post_facts, send, wait_ms},
    store::ShardStore,
};

/// How many loads one alarm ships before it lets others have the object.
const LOADS_PER_ALARM_MAX: usize = 20;
/// How long to wait after the origin did not take a load.
const RETRY_AFTER_MS: u64 = 1_000;

/// The Durable Object.
#[durable_object]
pub struct Shard {
    env: Env,
    store: ShardStore,
}

impl DurableObject for Shard {
    fn new(state: State, env: Env) -> Self {
        Self { env, store: ShardStore::new(state.storage()) }
    }

    /// `POST /decide`: an [`Asked`] in, the response's JSON out. `POST /settle`: a [`Settling`] in, what became of each of
    /// its claims out. `POST /forget`: a viewer in.
    async fn fetch(&self, mut request: Request) -> Result<Response> {
        let (url, body) = (request.inner().url(), request.bytes().await?);
        match path_of(&url) {
            "/settle" => self.settle(&serde_json::from_slice(&body)?).await,
            "/forget" => self.forget(serde_json::from_slice(&body)?).await,
            _ => self.decide(&serde_json::from_slice(&body)?).await,
        }
    }

    /// Ships the outbox. Comes again by itself until it is empty.
    async fn alarm(&self) -> Result<Response> {
        self.store.alarm_has_rung();
        let deployment = deployment(&self.env).map_err(|error| error.to_string())?;
        let settings = &deployment.settings;
        for _ in 0..LOADS_PER_ALARM_MAX {
            let post = async |batch: String| post_facts(settings, &batch, settings.origin_deadline_ms).await;
            match ship(&self.store, settings, now(), post).await {
                Ok(shipped) if shipped.left == 0 => return Response::empty(),
                Ok(_) => {}
                Err(_) => {
                    self.store.set_alarm(RETRY_AFTER_MS).await.map_err(|error| error.to_string())?;
                    return Response::empty();
                }
            }
        }
        self.store.set_alarm(0).await.map_err(|error| error.to_string())?;
        Response::empty()
    }
}

impl Shard {
    async fn decide(&self, asked: &Asked) -> Result<Response> {
        let deployment = deployment(&self.env).map_err(|error| error.to_string())?;
        let settings = &deployment.settings;
        let trips = Cell::new(0);
        let plan = async |_version| platform::plan(&self.env, settings.store_deadline_ms, &trips).await.ok().flatten();
        let offers = async |left: &[Left]| auction(asked, left, settings, wait_ms, send).await;
        match decide_at(&self.store, plan, offers, settings, asked).await {
            Ok(answer) => {
                let response = Response::from_bytes(answer)?;
                response.headers().set(PLAN_TRIPS, &trips.get().to_string())?;
                Ok(response)
            }
            Err(error) => Response::error(error.to_string(), 503),
        }
    }

    async fn settle(&self, settling: &Settling) -> Result<Response> {
        match settle_at(&self.store, settling).await {
            Ok(settled) => Response::from_json(&settled),
            Err(error) => Response::error(error.to_string(), 503),
        }
    }

    async fn forget(&self, viewer: ViewerKey) -> Result<Response> {
        match self.store.forget(viewer, now()).await {
            Ok(()) => Response::ok("forgotten"),
            Err(error) => Response::error(error.to_string(), 503),
        }
    }
}
