-- Reads JSON strictly: what servers read in different ways is refused. For the scripts that stand behind it.
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
