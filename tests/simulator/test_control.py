import aiohttp

from tests.simulator.conftest import Start


async def test_a_fault_is_armed_for_the_next_requests(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start()
    async with client.post(f"{running.url}/sim/faults", json={"fault": "status=500", "count": 2}) as response:
        assert (await response.json())["faults"] == [{"path": "", "fault": "status=500", "count": 2}]
    statuses = []
    for path in ("/health", "/v1/models", "/v1/models", "/v1/models"):
        async with client.get(running.url + path) as response:
            statuses.append(response.status)
    assert statuses == [200, 500, 500, 200]


async def test_a_probe_fails_only_where_its_path_is_named(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start()
    async with client.post(f"{running.url}/sim/faults", json={"fault": "status=500", "path": "/health"}):
        pass
    async with client.get(f"{running.url}/health") as response:
        assert response.status == 500
    async with client.delete(f"{running.url}/sim/faults"):
        pass
    async with client.get(f"{running.url}/health") as response:
        assert response.status == 200


async def test_a_wrong_fault_is_told(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start()
    for body in ({"fault": "explode"}, {"fault": 7}, {"fault": "reset", "count": -1}, []):
        async with client.post(f"{running.url}/sim/faults", json=body) as response:
            assert response.status == 400
    assert running.engine.faults.report() == []


async def test_the_last_requests_can_be_asked_for_and_forgotten(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start(requests_kept=3)
    for number in range(5):
        async with client.get(f"{running.url}/v1/models?{number}"):
            pass
    async with client.get(f"{running.url}/sim/requests?last=2") as response:
        told = await response.json()
    assert [entry["query"] for entry in told["requests"]] == ["3", "4"]
    assert told["counters"]["received"] == 5
    async with client.get(f"{running.url}/sim/requests?last=x") as response:
        assert response.status == 400
    async with client.delete(f"{running.url}/sim/requests"):
        pass
    async with client.get(f"{running.url}/sim/requests") as response:
        told = await response.json()
    assert (told["requests"], told["counters"]["received"]) == ([], 0)


async def test_the_decode_side_is_told_what_is_wrong(start: Start, client: aiohttp.ClientSession) -> None:
    running = await start()
    for path, body in (("/sim/blocks", {}), ("/sim/rooms", {}), ("/sim/rooms", {"room": "x"})):
        async with client.post(running.url + path, json=body) as response:
            assert response.status == 400
            assert (await response.json())["message"]
