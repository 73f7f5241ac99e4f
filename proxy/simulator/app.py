"""A simulated engine's HTTP side."""

from aiohttp import web

from proxy.simulator.answers import embedding_item, embedding_vector, model_cards
from proxy.simulator.control import Control, json_response
from proxy.simulator.engine import Engine
from proxy.simulator.generating import Generator
from proxy.simulator.generation import chat_prompts, read_count, read_object, resolve_model, text_prompts
from proxy.simulator.metrics import memory_tokens, throughput, usage
from proxy.simulator.observation import CALL, observing
from proxy.simulator.options import Software
from proxy.simulator.peer import PrefillPeers
from proxy.simulator.refusal import RefusedError
from proxy.simulator.streaming import send_whole

VERSIONS = {Software.VLLM: "0.11.0", Software.SGLANG: "0.5.6"}


class EngineApp:
    """The handlers of one engine."""

    def __init__(self, engine: Engine, peers: PrefillPeers) -> None:
        self._engine = engine
        self._generator = Generator(engine, peers)

    def build(self) -> web.Application:
        """The application that serves them."""
        application = web.Application(
            middlewares=[observing(self._engine)], client_max_size=self._engine.options.max_body
        )
        application.on_response_prepare.append(self._sign)
        application.add_routes([*self._routes(), *self._own_routes(), *Control(self._engine).routes()])
        application.router.add_route("*", "/{tail:.*}", self.unknown)
        return application

    def _routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/chat/completions", self.chat),
            web.post("/v1/completions", self.completion),
            web.post("/v1/embeddings", self.embeddings),
            web.get("/v1/models", self.models),
            web.get("/health", self.health),
            web.get("/metrics", self.metrics),
        ]

    def _own_routes(self) -> list[web.RouteDef]:
        """What one of the engines has and the other has not."""
        match self._engine.options.software:
            case Software.VLLM:
                return [
                    web.get("/version", self.version),
                    web.get("/load", self.server_load),
                    web.get("/ping", self.health),
                    web.post("/tokenize", self.tokenize),
                ]
            case Software.SGLANG:
                return [
                    web.get("/health_generate", self.health),
                    web.get("/v1/loads", self.loads),
                    web.get("/get_load", self.old_loads),
                    web.get("/get_model_info", self.model_info),
                    web.get("/get_server_info", self.server_info),
                ]

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """A chat."""
        return await self._generator.answer(request, request[CALL], chat=True)

    async def completion(self, request: web.Request) -> web.StreamResponse:
        """A completion of a text."""
        return await self._generator.answer(request, request[CALL], chat=False)

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        """Vectors that depend on the input alone."""
        engine, call = self._engine, request[CALL]
        body = read_object(call.body)
        model, _ = resolve_model(body, engine.options)
        prompts = text_prompts(body.get("input"), "input")
        form = body.get("encoding_format") or "float"
        if form not in {"float", "base64"}:
            raise RefusedError(400, "encoding_format must be float or base64", "encoding_format")
        dimensions = read_count(body, "dimensions") or engine.options.embedding_dimensions
        engine.journal.execute(call.entry)
        await engine.sleep(engine.options.time_to_first_token)
        vectors = [embedding_vector(prompt, dimensions) for prompt in prompts]
        tokens = sum(len(prompt) for prompt in prompts)
        answer = {
            "id": f"embd-{engine.new_id()}",
            "object": "list",
            "created": int(engine.clock()),
            "model": model,
            "data": [embedding_item(index, item, as_base64=form == "base64") for index, item in enumerate(vectors)],
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0},
        }
        return await send_whole(request, answer, call.fault, call.entry, engine.sleep)

    async def tokenize(self, request: web.Request) -> web.Response:
        """A prompt's token numbers."""
        body = read_object(request[CALL].body)
        prompts = chat_prompts(body) if "messages" in body else text_prompts(body.get("prompt"), "prompt")
        tokens = prompts[0]
        return json_response(
            {"count": len(tokens), "max_model_len": self._engine.options.max_model_len, "tokens": tokens}
        )

    async def models(self, request: web.Request) -> web.StreamResponse:
        """The model and its adapters."""
        engine, call = self._engine, request[CALL]
        cards = model_cards(engine.options, int(engine.started))
        return await send_whole(request, cards, call.fault, call.entry, engine.sleep)

    async def health(self, _: web.Request) -> web.Response:
        """Well, while it answers at all."""
        return web.Response()

    async def metrics(self, _: web.Request) -> web.Response:
        """For Prometheus."""
        headers = {"content-type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=self._engine.meters.page(), headers=headers)

    async def version(self, _: web.Request) -> web.Response:
        """The version that is simulated."""
        return json_response({"version": VERSIONS[self._engine.options.software]})

    async def server_load(self, _: web.Request) -> web.Response:
        """vLLM with `--enable-server-load-tracking`."""
        return json_response({"server_load": self._engine.load.running + self._engine.load.waiting})

    async def loads(self, _: web.Request) -> web.Response:
        """SGLang's load report, one rank."""
        engine, load, options = self._engine, self._engine.load, self._engine.options
        cache = engine.cache
        rank = {
            "dp_rank": 0,
            "num_running_reqs": load.running,
            "num_waiting_reqs": load.waiting,
            "num_waiting_uncached_tokens": load.waiting_uncached_tokens,
            "num_total_reqs": load.running + load.waiting,
            "num_used_tokens": load.used_tokens,
            "max_total_num_tokens": memory_tokens(options),
            "token_usage": usage(options, load),
            "gen_throughput": throughput(options, load),
            "cache_hit_rate": cache.hit_tokens / cache.queried_tokens if cache.queried_tokens else 0.0,
            "utilization": load.running / options.max_running,
            "max_running_requests": options.max_running,
        }
        return json_response({"timestamp": engine.clock(), "version": VERSIONS[options.software], "loads": [rank]})

    async def old_loads(self, _: web.Request) -> web.Response:
        """SGLang's load report before `/v1/loads`."""
        load = self._engine.load
        total = load.running + load.waiting
        rank = {"dp_rank": 0, "num_reqs": total, "num_waiting_reqs": load.waiting, "num_tokens": load.used_tokens}
        return json_response([rank])

    async def model_info(self, _: web.Request) -> web.Response:
        """SGLang's word on its model."""
        return json_response({"model_path": self._engine.options.model, "is_generation": True})

    async def server_info(self, _: web.Request) -> web.Response:
        """SGLang's word on itself, as far as a router reads it."""
        options = self._engine.options
        return json_response(
            {
                "model_path": options.model,
                "served_model_name": options.model,
                "version": VERSIONS[options.software],
                "disaggregation_mode": options.role.value if options.role else "null",
                "disaggregation_bootstrap_port": self._engine.bootstrap_port,
                "max_total_num_tokens": memory_tokens(options),
                "dp_size": 1,
            }
        )

    async def unknown(self, request: web.Request) -> web.Response:
        """What FastAPI answers where there is nothing, or nothing for this method."""
        known = {route.path for route in (*self._routes(), *self._own_routes())}
        if request.path in known:
            return json_response({"detail": "Method Not Allowed"}, 405)
        return json_response({"detail": "Not Found"}, 404)

    async def _sign(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["x-sim-engine"] = self._engine.options.label
        response.headers["server"] = "uvicorn"
