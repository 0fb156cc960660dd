-- Looks through a request of OpenAI's API before any server sees it, and writes down what is wrong with it (`trouble`, `param`), how many
-- prompts it holds and what it needs of its model: the limits count both, then the bad one is refused. Source of the form: OpenAI's API reference (chat/completions, completions, embeddings).

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
  handle:headers():remove("accept-encoding")  -- nobody could count the tokens of an answer that its server has compressed
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
