-- Looks through a request of OpenAI's API before any server sees it, and writes down what is wrong with it (`trouble`, `param`), how many
-- prompts it holds and what it needs of its model: the limits count both, then the bad one is refused. Source of the form: OpenAI's API reference (chat/completions, completions, embeddings).

-- It runs on a thread of the gateway's, so the loops below are of the plain kind that LuaJIT compiles: byte by byte, no patterns.

local ARRAY, NULL = {}, {}
local DEEPEST = 100
local KEPT = 256
local byte, sub = string.byte, string.sub

local function fail(what, at) error({what = what .. (at and " (byte " .. at .. ")" or "")}, 0) end

local function hex(digit)
  if digit == nil then return nil end
  if digit >= 48 and digit <= 57 then return digit - 48 end
  if digit >= 97 and digit <= 102 then return digit - 87 end
  if digit >= 65 and digit <= 70 then return digit - 55 end
  return nil
end

local function code_at(body, at)
  local code = 0
  for place = at, at + 3 do
    local digit = hex(byte(body, place))
    if digit == nil then fail("a text holds an escape without four hexadecimal digits", at - 2) end
    code = code * 16 + digit
  end
  return code
end

local HALF = "a text holds half a character (a lone surrogate): send whole ones"

-- Behind the escape at a backslash.
local function behind_escape(body, at)
  local kind = byte(body, at + 1)
  if kind == 34 or kind == 92 or kind == 47 or kind == 98 or kind == 102 or kind == 110 or kind == 114 or kind == 116 then return at + 2 end
  if kind ~= 117 then fail("a text holds an unknown escape", at) end
  local code = code_at(body, at + 2)
  if code == 0 then fail("a text holds a NUL character, at which a server may end it: remove it", at) end
  if code < 0xD800 or code > 0xDFFF then return at + 6 end
  if code >= 0xDC00 or byte(body, at + 6) ~= 92 or byte(body, at + 7) ~= 117 then fail(HALF, at) end
  local low = code_at(body, at + 8)
  if low < 0xDC00 or low > 0xDFFF then fail(HALF, at) end
  return at + 12
end

local function follows(letter, low, high) return letter ~= nil and letter >= low and letter <= high end

-- Behind the character of several bytes that begins with this one (RFC 3629).
local function behind_character(body, at, first)
  local second, third, fourth = byte(body, at + 1, at + 3)
  if first >= 194 and first <= 223 and follows(second, 128, 191) then return at + 2 end
  if first >= 224 and first <= 239 and follows(third, 128, 191) then
    if follows(second, first == 224 and 160 or 128, first == 237 and 159 or 191) then return at + 3 end
  end
  if first >= 240 and first <= 244 and follows(third, 128, 191) and follows(fourth, 128, 191) then
    if follows(second, first == 240 and 144 or 128, first == 244 and 143 or 191) then return at + 4 end
  end
  fail("it is not UTF-8: encode it as such", at)
end

-- Texts stay as they were written, escapes included, and long ones are cut: all that is asked of one is what it is, or whether it is empty.
local function text_at(body, from)
  local at = from
  while true do
    local letter = byte(body, at)
    if letter == nil then fail("a text has no end", from) end
    if letter == 34 then return sub(body, from, at - 1 < from + KEPT and at - 1 or from + KEPT), at + 1 end
    if letter == 92 then at = behind_escape(body, at)
    elseif letter < 32 then fail("a text holds a line break or another control character: write it as \\n", at)
    elseif letter < 128 then at = at + 1
    else at = behind_character(body, at, letter) end
  end
end

local function behind_space(body, at)
  local letter = byte(body, at)
  while letter == 32 or letter == 10 or letter == 13 or letter == 9 do
    at = at + 1
    letter = byte(body, at)
  end
  return at, letter
end

local value_at

local function members_at(body, at, depth, close)
  local found, count = close == 93 and setmetatable({n = 0}, ARRAY) or {}, 0
  local letter
  at, letter = behind_space(body, at)
  if letter == close then return found, at + 1 end
  while true do
    local key, value
    if close == 125 then
      at, letter = behind_space(body, at)
      if letter ~= 34 then fail("a key in quotes is missing", at) end
      local began = at
      key, at = text_at(body, at + 1)
      -- Servers read escapes in keys, and take the last of two: what was looked at here would not be what they see.
      if depth == 1 and string.find(key, "\\", 1, true) then fail("a key is written with escapes: write it plainly", began) end
      if found[key] ~= nil then fail("the key " .. sub(key, 1, 40) .. " stands twice in one object", began) end
      at, letter = behind_space(body, at)
      if letter ~= 58 then fail("a colon is missing", at) end
      at = at + 1
    end
    value, at = value_at(body, at, depth)
    if key then found[key] = value else
      count = count + 1
      found[count] = value
      found.n = count
    end
    at, letter = behind_space(body, at)
    if letter == close then return found, at + 1 end
    if letter ~= 44 then fail("a comma or a bracket is missing", at) end
    at = at + 1
  end
end

value_at = function(body, at, depth)
  local letter
  at, letter = behind_space(body, at)
  if letter == nil then fail("it ends too early", #body) end
  if depth > DEEPEST then fail("it is nested more than " .. DEEPEST .. " deep", at) end
  if letter == 34 then return text_at(body, at + 1) end
  if letter == 123 then return members_at(body, at + 1, depth + 1, 125) end
  if letter == 91 then return members_at(body, at + 1, depth + 1, 93) end
  if letter == 116 and sub(body, at, at + 3) == "true" then return true, at + 4 end
  if letter == 102 and sub(body, at, at + 4) == "false" then return false, at + 5 end
  if letter == 110 and sub(body, at, at + 3) == "null" then return NULL, at + 4 end
  local behind, digits, whole = at, 0, true
  while true do
    letter = byte(body, behind)
    if letter ~= nil and letter >= 48 and letter <= 57 then digits = digits * 10 + letter - 48
    elseif letter == 45 or letter == 43 or letter == 46 or letter == 101 or letter == 69 then whole = false
    else break end
    behind = behind + 1
  end
  local number = behind > at and (whole and digits or tonumber(sub(body, at, behind - 1))) or nil
  if number == nil then fail("there is no value", at) end
  return number, behind
end

local function is_array(value) return getmetatable(value) == ARRAY end
local function is_object(value) return type(value) == "table" and value ~= NULL and not is_array(value) end
local function given(value) return value ~= nil and value ~= NULL end
local function whole(value) return type(value) == "number" and value == math.floor(value) end

local function refuse(param, what) error({what = param .. " " .. what, param = param}, 0) end

local ROLES = {system = true, developer = true, user = true, assistant = true, tool = true, ["function"] = true}

local function check_content(content, where)
  if type(content) == "string" then return end
  if not is_array(content) then refuse(where, "must be a text, or a list of parts {\"type\": \"text\", \"text\": \"...\"}.") end
  if content.n == 0 then refuse(where, "holds no part: send a text.") end
  for index = 1, content.n do
    local part, place = content[index], where .. "[" .. (index - 1) .. "]"
    if not is_object(part) or type(part.type) ~= "string" then refuse(place, "must be {\"type\": \"text\", \"text\": \"...\"}.") end
    if part.type ~= "text" then
      refuse(place .. ".type", "is " .. string.sub(part.type, 1, 40) .. ", and this model reads texts only: send parts of the type text.")
    end
    if type(part.text) ~= "string" then refuse(place .. ".text", "must be a text.") end
  end
end

local function check_messages(messages, needs)
  if not given(messages) then refuse("messages", "is missing: send [{\"role\": \"user\", \"content\": \"...\"}].") end
  if not is_array(messages) then refuse("messages", "must be a list: send [{\"role\": \"user\", \"content\": \"...\"}].") end
  if messages.n == 0 then refuse("messages", "is empty: send at least one message of the user.") end
  for index = 1, messages.n do
    local message, where = messages[index], "messages[" .. (index - 1) .. "]"
    if not is_object(message) then refuse(where, "must be {\"role\": \"...\", \"content\": \"...\"}.") end
    local role = message.role
    if type(role) ~= "string" then refuse(where .. ".role", "is missing: it is system, user or assistant.") end
    if not ROLES[role] then refuse(where .. ".role", "is " .. string.sub(role, 1, 40) .. ", which is no role: use system, user or assistant.") end
    local calls = given(message.tool_calls) or given(message.function_call)
    if calls or role == "tool" or role == "function" then needs.tools = true end
    if role == "developer" then needs.developer = true end
    if not given(message.content) then
      if not (role == "assistant" and calls) then refuse(where .. ".content", "is missing or null: send a text.") end
    else
      check_content(message.content, where .. ".content")
    end
  end
end

local function check_number(request, name, low, high, integral)
  local value = request[name]
  if not given(value) then return end
  if type(value) ~= "number" or value < low or value > high or (integral and not whole(value)) then
    refuse(name, string.format("must be %s from %d to %d.", integral and "a whole number" or "a number", low, high))
  end
end

local function check_flag(request, name)
  if given(request[name]) and type(request[name]) ~= "boolean" then refuse(name, "must be true or false.") end
end

-- Names of other interfaces: a server would pass over them in silence.
local MISNAMED = {
  max_token = "max_tokens", max_new_tokens = "max_tokens", max_length = "max_tokens", max_output_tokens = "max_tokens",
  maxTokens = "max_tokens", num_predict = "max_tokens", n_predict = "max_tokens", stop_sequences = "stop", stop_words = "stop",
  topP = "top_p", topK = "top_k", num_return_sequences = "n", do_sample = "temperature",
}

local function check_common(request, needs, several)
  for wrong, right in pairs(MISNAMED) do
    if given(request[wrong]) then refuse(wrong, "is no field of this API: send " .. right .. ".") end
  end
  check_number(request, "presence_penalty", -2, 2)
  check_number(request, "frequency_penalty", -2, 2)
  check_number(request, "repetition_penalty", 0, 10)
  check_number(request, "min_p", 0, 1)
  check_number(request, "top_k", -1, 2147483647, true)
  check_number(request, "seed", -9007199254740992, 9007199254740992, true)
  check_number(request, "temperature", 0, 2)
  check_number(request, "top_p", 0, 1)
  check_number(request, "n", 1, 128, true)
  check_flag(request, "stream")
  local stop = request.stop
  if given(stop) and type(stop) ~= "string" then
    if not is_array(stop) then refuse("stop", "must be a text or a list of texts.") end
    for index = 1, stop.n do if type(stop[index]) ~= "string" then refuse("stop", "must be a text or a list of texts.") end end
  end
  if (several or (given(request.n) and request.n > 1)) and request.stream ~= true then needs.choices = true end
end

local MOST = 2147483647

local function check_chat(request, needs)
  check_messages(request.messages, needs)
  check_number(request, "max_tokens", 1, MOST, true)
  check_number(request, "max_completion_tokens", 1, MOST, true)
  check_flag(request, "logprobs")
  check_number(request, "top_logprobs", 0, 20, true)
  if given(request.top_logprobs) and request.logprobs ~= true then refuse("top_logprobs", "needs logprobs: true.") end
  for _, name in ipairs({"tools", "functions"}) do
    local tools = request[name]
    if given(tools) then
      if not is_array(tools) then refuse(name, "must be a list.") end
      if tools.n > 0 and request.tool_choice ~= "none" then needs.tools = true end
    end
  end
  check_common(request, needs, false)
end

local function check_texts(value, name)
  -- Whether there are several of them. A list of numbers is one text in tokens.
  if not given(value) then refuse(name, "is missing: send a text.") end
  if type(value) == "string" then
    if value == "" then refuse(name, "is empty: send a text.") end
    return false
  end
  if not is_array(value) then refuse(name, "must be a text, a list of texts, or tokens.") end
  if value.n == 0 then refuse(name, "is empty: send a text.") end
  local kind = is_array(value[1]) and "list" or type(value[1])
  for index = 1, value.n do
    local one = value[index]
    local fine = kind == "string" and type(one) == "string" and one ~= "" or kind == "number" and whole(one) and one >= 0
    if kind == "list" then
      fine = is_array(one) and one.n > 0
      for place = 1, fine and one.n or 0 do fine = fine and whole(one[place]) and one[place] >= 0 end
    end
    if not fine then refuse(name, "must be a text, a list of texts, or tokens, none of them empty.") end
  end
  return kind ~= "number" and value.n > 1
end

local function check_completion(request, needs)
  local several = check_texts(request.prompt, "prompt")
  check_number(request, "max_tokens", 0, MOST, true)
  check_number(request, "logprobs", 0, 5, true)
  check_flag(request, "echo")
  if request.echo == true then needs.echo = true end
  if request.max_tokens == 0 and request.echo ~= true then refuse("max_tokens", "must be at least 1.") end
  if given(request.logprobs) then needs.logprobs = true end
  if given(request.suffix) and request.suffix ~= "" then needs.suffix = true end
  check_number(request, "best_of", 1, 128, true)
  if given(request.best_of) and request.best_of > 1 then needs.best_of = true end
  check_common(request, needs, several)
  return several and request.prompt.n or 1
end

local CHECKS = {
  ["/v1/chat/completions"] = check_chat,
  ["/v1/completions"] = check_completion,
  ["/v1/embeddings"] = function(request, needs)
    check_texts(request.input, "input")
    needs.embeddings = true
  end,
}

local function looked_through(body, path)
  local request, behind = value_at(body, 1, 0)
  if behind_space(body, behind) <= #body then fail("something follows it", behind) end
  local needs = {}
  if not is_object(request) or type(request.model) ~= "string" or request.model == "" then return nil end
  return request, needs
end

function envoy_on_request(handle)
  local path = string.match(handle:headers():get(":path") or "", "^[^?]*")
  local check, buffer = CHECKS[path], handle:body()
  if check == nil or buffer == nil or buffer:length() == 0 then return end
  local body = buffer:getBytes(0, buffer:length())
  local facts = handle:streamInfo():dynamicMetadata()
  local fine, request, needs = pcall(looked_through, body, path)
  local trouble = not fine and request
  if fine and request then
    fine, trouble = pcall(check, request, needs)
    if fine then
      facts:set("@FACTS@", "prompts", trouble or 1)
      local names = {}
      for name in pairs(needs) do table.insert(names, name) end
      table.sort(names)
      if #names > 0 then
        handle:headers():replace("@NEEDS@", "," .. table.concat(names, ",") .. ",")
      end
      return
    end
  elseif fine then
    return
  end
  local what = type(trouble) == "table" and trouble.what or tostring(trouble)
  if type(trouble) == "table" and trouble.param then facts:set("@FACTS@", "param", trouble.param)
  else what = "The body is no JSON object that names a model: " .. what .. "." end
  facts:set("@FACTS@", "trouble", what)
end
