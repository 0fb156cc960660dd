-- Within JSON strings quotes are escaped, so these patterns find keys only. A stream tells its tokens in its last event: as `usage` when the
-- caller asked for it, and llama.cpp always as `timings`, where tokens out of the cache are told apart: at the end of each choice by itself.
-- The choices of one prompt share it, so its tokens count once: `n` choices in a row are of one prompt.
local says = {'"content"%s*:%s*"[^"]', '"text"%s*:%s*"[^"]', '"tool_calls"%s*:%s*%[%s*{'}
local function number(text, name) return tonumber(string.match(text, '"' .. name .. '"%s*:%s*(%d+)') or nil) end
local function last(text, name)
  local found
  for figure in string.gmatch(text, '"' .. name .. '"%s*:%s*(%d+)') do found = tonumber(figure) end
  return found
end
function envoy_on_response(handle)
  local rest, answered, asked, told = "", false, {}, {}
  local streamed = string.find(handle:headers():get("content-type") or "", "^text/event%-stream") ~= nil
  local n = tonumber((handle:streamInfo():dynamicMetadata():get("@FACTS@") or {}).n) or 1
  local function read(text)
    local facts = handle:streamInfo():dynamicMetadata()
    for reason in string.gmatch(text, '"finish_reason"%s*:%s*"([%w_]+)"') do facts:set("@FACTS@", "finish_reason", reason) end
    for _, said in ipairs(answered and {} or says) do
      if string.find(text, said) then
        answered = true
        facts:set("@FACTS@", "answered", "yes")
      end
    end
    local made = streamed and number(text, "predicted_n")
    if made then
      local choice = number(text, "index") or 0
      asked[math.floor(choice / n)] = (number(text, "prompt_n") or 0) + (number(text, "cache_n") or 0)
      told[choice] = made
    end
    local prompt, completion = last(text, "prompt_tokens"), last(text, "completion_tokens")
    if next(told) then
      prompt, completion = 0, 0
      for _, tokens in pairs(asked) do prompt = prompt + tokens end
      for _, tokens in pairs(told) do completion = completion + tokens end
    end
    if prompt then facts:set("@FACTS@", "prompt_tokens", prompt) end
    if completion then facts:set("@FACTS@", "completion_tokens", completion) end
  end
  for chunk in handle:bodyChunks() do
    local text = rest .. chunk:getBytes(0, chunk:length())
    if streamed then
      local whole = string.match(text, "^.*\n()") or 1
      for line in string.gmatch(string.sub(text, 1, whole - 1), "[^\n]+") do read(line) end
      rest = string.sub(text, whole)
      if #rest > @LINE@ then rest = string.sub(rest, -@OVERLAP@) end
    else
      read(text)
      rest = string.sub(text, -@OVERLAP@)
    end
  end
  if streamed and rest ~= "" then read(rest) end
end
