-- Reads and writes protobuf's wire format (https://protobuf.dev/programming-guides/encoding/). Needs `fail` and `byte` of json.lua.
-- What is read stays where it is: a part is a pair of places in the text.

-- Of a whole message, numbers in packed fields included: all of them are read on a thread of the gateway's, on which other callers wait.
local MOST_FIELDS = 200000
local count = 0

local function counted()
  count = count + 1
  if count > MOST_FIELDS then fail("the message holds more than " .. MOST_FIELDS .. " fields and numbers: send raw_input_contents") end
end

local function varint(text, at)
  local value, factor = 0, 1
  for place = at, at + 9 do
    local digit = byte(text, place)
    if digit == nil then fail("the message ends too early") end
    if digit < 128 then return value + digit * factor, place + 1 end
    value = value + (digit - 128) * factor
    factor = factor * 128
  end
  fail("the message holds a number of more than ten bytes")
end

-- Calls `take(number, wire, from, to)` for each field between two places: the bytes of its value, both included.
local function each(text, first, last, take)
  local at = first
  while at <= last do
    local key, from = varint(text, at)
    local wire, to = key % 8, nil
    if wire == 0 then
      local _, behind = varint(text, from)
      to = behind - 1
    elseif wire == 1 then to = from + 7
    elseif wire == 5 then to = from + 3
    elseif wire == 2 then
      local length
      length, from = varint(text, from)
      to = from + length - 1
    else fail("the message is no protobuf") end
    if to > last then fail("the message ends too early") end
    counted()
    take((key - wire) / 8, wire, from, to)
    at = to + 1
  end
end

-- A varint as `size` bytes, the lowest first; a negative number is written in ten bytes, of which these are the lowest.
local function lowest_bytes(text, at, size)
  local out, rest, bits, behind = {}, 0, 0, at
  repeat
    local digit = byte(text, behind)
    rest = rest + digit % 128 * 2 ^ bits
    bits = bits + 7
    while bits >= 8 do
      out[#out + 1] = rest % 256
      rest = math.floor(rest / 256)
      bits = bits - 8
    end
    behind = behind + 1
  until digit < 128
  out[#out + 1] = rest
  for place = #out + 1, size do out[place] = 0 end
  return string.char(unpack(out, 1, size)), behind
end

-- A double of eight bytes (IEEE 754).
local function double(text, at)
  local bytes = {byte(text, at, at + 7)}
  local sign, exponent = bytes[8] >= 128 and -1 or 1, bytes[8] % 128 * 16 + math.floor(bytes[7] / 16)
  local mantissa = bytes[7] % 16
  for place = 6, 1, -1 do mantissa = mantissa * 256 + bytes[place] end
  if exponent == 2047 then fail("a parameter is no finite number") end
  if exponent == 0 then return sign * math.ldexp(mantissa, -1074) end
  return sign * math.ldexp(mantissa + 2 ^ 52, exponent - 1075)
end

local function written_varint(value)
  if value < 0 then return string.char(255 - (-value - 1) % 128, 255, 255, 255, 255, 255, 255, 255, 255, 1) end  -- down to -128
  local out = {}
  while value >= 128 do
    out[#out + 1] = value % 128 + 128
    value = math.floor(value / 128)
  end
  out[#out + 1] = value
  return string.char(unpack(out))
end

local function field(number, text) return written_varint(number * 8 + 2) .. written_varint(#text) .. text end
local function truth(number, value) return value and written_varint(number * 8) .. "\1" or "" end
local function numbers(number, values)
  local out = {}
  for place = 1, #values do out[place] = written_varint(values[place]) end
  return field(number, table.concat(out))
end
