-- What wrk does to the guestbook: nine of ten requests read, one writes.
--
--     wrk -s load.lua URL -- COOKIE TOKEN FOLDER
--
-- For each 303 the number of the entry, as the server gave it, goes to a file of
-- its thread's in FOLDER. At the end there is a line of all errors.

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(args)
  cookie, token = args[1], args[2]
  written = io.open(args[3] .. "/" .. number, "w")
  written:setvbuf("line")
  asked, odd = 0, 0
end

function request()
  asked = asked + 1
  if asked % 10 ~= 0 then
    return wrk.format("GET", "/", { ["Cookie"] = cookie })
  end
  local body = "token=" .. token .. "&name=wrk+" .. number .. "&text=%E7%AC%AC+" .. asked
  return wrk.format("POST", "/", {
    ["Cookie"] = cookie,
    ["Content-Type"] = "application/x-www-form-urlencoded",
    ["Sec-Fetch-Site"] = "same-origin",
  }, body)
end

function response(status, headers)
  if status == 303 then
    local location = headers["Location"] or headers["location"]
    written:write(location:match("#entry%-(%d+)$"), "\n")
  elseif status ~= 200 then
    odd = odd + 1
  end
end

function done(summary)
  local errors, others = summary.errors, 0
  for _, thread in ipairs(threads) do others = others + thread:get("odd") end
  io.write(string.format("requests %d errors %d\n", summary.requests,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout + others))
end
