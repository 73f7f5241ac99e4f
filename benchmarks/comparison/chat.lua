-- Posts the bodies of a file, one to a line, in turn; at the end prints one line of JSON.

function init(arguments)
  local bodies = {}
  for line in io.lines(arguments[1]) do
    bodies[#bodies + 1] = line
  end
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  if #bodies == 1 then
    wrk.body = bodies[1]
    return
  end
  local requests = {}
  for index, body in ipairs(bodies) do
    requests[index] = wrk.format(nil, nil, nil, body)
  end
  local turn = 0
  wrk.request = function()
    turn = turn % #requests + 1
    return requests[turn]
  end
  request = wrk.request
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50": %.1f, "p99": %.1f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
