-- Turns rows in plain JSON (`instances`, MLflow's `dataframe_split` and `dataframe_records`) and in CSV into the tensors of KServe's protocol before
-- anybody behind this filter sees them, and the tensors of the answer back into rows. Values stay as they were written: a whole number of 64
-- bits loses no digit. What the model knows of its columns stands in the route's metadata.

local MOST_TOLD, ENOUGH = 20, 1000
local ESCAPES = {b = "\b", f = "\f", n = "\n", r = "\r", t = "\t"}

local function utf8(code)
  if code < 0x80 then return string.char(code) end
  if code < 0x800 then return string.char(0xC0 + math.floor(code / 64), 0x80 + code % 64) end
  if code < 0x10000 then return string.char(0xE0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64) end
  return string.char(0xF0 + math.floor(code / 262144), 0x80 + math.floor(code / 4096) % 64, 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

local function unescaped(text)
  if not string.find(text, "\\", 1, true) then return text end
  text = string.gsub(text, "\\u([dD][89abAB]%x%x)\\u([dD]%x%x%x)", function(high, low)
    return utf8(0x10000 + (tonumber(high, 16) - 0xD800) * 1024 + tonumber(low, 16) - 0xDC00)
  end)
  return (string.gsub(text, "\\(.)(%x?%x?%x?%x?)", function(kind, digits)
    if kind == "u" then return utf8(tonumber(digits, 16)) end
    return (ESCAPES[kind] or kind) .. digits
  end))
end

-- Calls `visit(key or number, at)` for each member of the object or list that opens at `at`; it returns where the value ends.
local function walk(body, at, visit)
  local close = byte(body, at) == 123 and 125 or 93
  local letter, count = nil, 0
  at, letter = behind_space(body, at + 1)
  if letter == close then return at + 1 end
  while true do
    local key = count
    at, letter = behind_space(body, at)
    if close == 125 then
      if letter ~= 34 then fail("a key in quotes is missing", at) end
      local _, behind = text_at(body, at + 1)
      key = unescaped(sub(body, at + 1, behind - 2))
      at, letter = behind_space(body, behind)
      if letter ~= 58 then fail("a colon is missing", at) end
      at = behind_space(body, at + 1)
    end
    count = count + 1
    at, letter = behind_space(body, visit(key, at))
    if letter == close then return at + 1 end
    if letter ~= 44 then fail("a comma or a bracket is missing", at) end
    at = at + 1
  end
end

local function raw_at(body, at)
  local _, behind = value_at(body, at, 2)
  return sub(body, at, behind - 1), behind
end

local function shown(raw) return #raw > 60 and sub(raw, 1, 57) .. "..." or raw end

-- Part after part, each from where the one before ended: one pattern for all would try every division of a million digits.
local function is_number(raw)
  local at = string.match(raw, "^%-?%d+()")
  if at == nil then return false end
  at = string.match(raw, "^%.%d+()", at) or at
  at = string.match(raw, "^[eE][+-]?%d+()", at) or at
  return at > #raw
end

-- A cell as it goes into a tensor's data, or nil and what is wrong with it.
local function cell(column, raw)
  local first, kind = byte(raw, 1), column.kind
  if raw == "null" then
    if not column.missing then return nil, "is missing (null), and the model takes no missing value there" end
    return kind == "BYTES" and '""' or "null"
  end
  if first == 123 or first == 91 then return nil, "is a list or an object: send one value" end
  if raw == "true" or raw == "false" then
    if kind == "BYTES" then return nil, "is " .. raw .. ", and the column holds texts: put it in quotes" end
    if not column.truth then return nil, "is " .. raw .. ", and it is no column of truth values" end
    return raw == "true" and "1" or "0"
  end
  if kind == "BYTES" then
    if first ~= 34 then return nil, "is the number " .. shown(raw) .. ", and the column holds texts: put it in quotes" end
    return raw
  end
  if first == 34 then return nil, "is the text " .. shown(raw) .. ", and the column holds numbers: send one, or null where it is missing" end
  if not is_number(raw) then
    return nil, "is " .. shown(raw) .. ", which is no number"
  end
  if kind ~= "INT64" then return raw end
  local whole = string.match(raw, "^(%-?%d+)$") or string.match(raw, "^(%-?%d+)%.0+$")
  if whole == nil then return nil, "is " .. shown(raw) .. ", and the column holds whole numbers" end
  local digits = string.match(whole, "%d+")
  local most = byte(whole, 1) == 45 and "9223372036854775808" or "9223372036854775807"
  if #digits > 19 or #digits == 19 and digits > most then return nil, "is " .. shown(raw) .. ", more than 64 bits hold" end
  return whole
end

local Rows = {}
Rows.__index = Rows

local function new_rows(plan)
  local found = setmetatable({plan = plan, places = {}, cells = {}, given = {}, n = 0, troubles = {}, wrong = 0}, Rows)
  local known = {}
  for place, column in ipairs(plan.columns) do
    if place <= 12 then known[place] = column.name end
    found.places[column.name] = place
    found.cells[place] = {}
    found.given[place] = 0
  end
  found.known = table.concat(known, ", ") .. (#plan.columns > 12 and ", ..." or "")
  return found
end

function Rows:trouble(row, column, what)
  self.wrong = self.wrong + 1
  if self.wrong <= MOST_TOLD then self.troubles[self.wrong] = {row = row, column = column, what = what} end
  if self.wrong == ENOUGH then error({rows = self}, 0) end -- a body of empty rows has millions
end

function Rows:put(row, place, raw)
  local column = self.plan.columns[place]
  local value, what = cell(column, raw)
  if what then self:trouble(row, column.name, what) end
  self.cells[place][row + 1] = value or "null"
  self.given[place] = self.given[place] + 1
end

function Rows:place(row, name)
  local place = self.places[name]
  if place == nil then
    self:trouble(row, name, "is no column of the model's; it takes " .. self.known)
  end
  return place
end

-- Rows as objects by column, or as lists in the order of `names` (the model's own without).
function Rows:read(body, at, where, names)
  if byte(body, at) ~= 91 then fail(where .. " must be a list of rows") end
  return walk(body, at, function(row, from)
    self.n = row + 1
    local letter, seen, width = byte(body, from), {}, 0
    if letter ~= 123 and letter ~= 91 then
      self:trouble(row, nil, "must be an object of values by column")
      return select(2, raw_at(body, from))
    end
    local behind = walk(body, from, function(key, start)
      local raw, ending = raw_at(body, start)
      local place
      if letter == 123 then place = self:place(row, key)
      else
        width = width + 1
        if names then place = names[width] else place = width <= #self.plan.columns and width or nil end
      end
      if place and seen[place] then self:trouble(row, self.plan.columns[place].name, "stands twice in the row")
      elseif place then
        seen[place] = true
        self:put(row, place, raw)
      end
      return ending
    end)
    if letter == 91 then
      local wanted = names and #names or #self.plan.columns
      if width ~= wanted then self:trouble(row, nil, "has " .. width .. " values, and there are " .. wanted .. " columns") end
      if not names then return behind end
    end
    for place, column in ipairs(self.plan.columns) do
      if not seen[place] and not column.optional then
        self:trouble(row, column.name, "is not there: send it" .. (column.missing and ", or null where it is missing" or ""))
      end
    end
    return behind
  end)
end

function Rows:split(body, at)
  local where, names, data = "dataframe_split", nil, nil
  if byte(body, at) ~= 123 then fail(where .. " must be an object with columns and data") end
  local behind = walk(body, at, function(key, from)
    if key == "columns" then
      names = {}
      if byte(body, from) ~= 91 then fail(where .. ".columns must be a list of names") end
      return walk(body, from, function(number, start)
        local raw, ending = raw_at(body, start)
        if byte(raw, 1) ~= 34 then fail(where .. ".columns must be a list of names") end
        local name = unescaped(sub(raw, 2, -2))
        names[number + 1] = self:place(nil, name) or false
        return ending
      end)
    end
    if key == "data" then data = from
    elseif key ~= "index" then fail(where .. " has the unknown key " .. shown(key) .. "; it takes columns, index and data") end
    return select(2, value_at(body, from, 2))
  end)
  if names == nil or data == nil then fail(where .. " needs columns and data") end
  self:read(body, data, where .. ".data", names)
  return behind
end

function Rows:csv(body)
  local places, wanted = nil, 0
  walk_csv(body, function(number, fields, width)
    if places == nil then
      local seen = {}
      places, wanted = {}, width
      for at = 1, width do
        local place = self:place(nil, fields[at] or "")
        if place and seen[place] then self:trouble(nil, fields[at], "stands twice in the header") end
        if place then seen[place] = true end
        places[at] = place or false
      end
      for place, column in ipairs(self.plan.columns) do
        if not seen[place] and not column.optional then self:trouble(nil, column.name, "is not in the header, the first line: send it") end
      end
      if self.wrong > 0 then error({rows = self}, 0) end  -- every row would be at fault
      return
    end
    self.n = number - 1
    if width ~= wanted then self:trouble(self.n - 1, nil, "has " .. width .. " fields, and the header has " .. wanted) end
    for at = 1, math.min(width, wanted) do
      local place = places[at]
      self:put(self.n - 1, place, csv_value(fields[at], self.plan.columns[place].kind == "BYTES"))
    end
  end)
  if places == nil then fail("it holds no header: send the columns' names in the first line") end
  if self.n == 0 then fail("it holds no row below its header") end
  return self
end

function Rows:tensors()
  local parts = {}
  if self.plan.tensor then
    local all, width = {}, #self.plan.columns
    for place = 1, width do
      for row = 1, self.n do all[(row - 1) * width + place] = self.cells[place][row] end
    end
    parts[1] = '{"name":"' .. self.plan.tensor .. '","datatype":"' .. self.plan.columns[1].kind .. '","shape":[' .. self.n .. "," .. width
      .. '],"data":[' .. table.concat(all, ",") .. "]}"
  else
    for place, column in ipairs(self.plan.columns) do
      if self.given[place] > 0 then
        parts[#parts + 1] = '{"name":' .. column.json .. ',"datatype":"' .. column.kind .. '","shape":[' .. self.n .. ',1],"data":['
          .. table.concat(self.cells[place], ",") .. "]}"
      end
    end
  end
  return '{"inputs":[' .. table.concat(parts, ",") .. "]}"
end

local FORMS = "send {\"instances\": [{\"<column>\": <value>, ...}, ...]}, or dataframe_split or dataframe_records"

local function rows_of(body, plan)
  local rows, found = new_rows(plan), nil
  local at, letter = behind_space(body, 1)
  if letter ~= 123 then fail("it is no JSON object: " .. FORMS) end
  local behind = walk(body, at, function(key, from)
    if key ~= "instances" and key ~= "dataframe_records" and key ~= "dataframe_split" then
      fail("the key " .. shown(key) .. " is unknown here: " .. FORMS)
    end
    if found then fail("it holds " .. found .. " and " .. key .. ": send one of them") end
    found = key
    if key == "dataframe_split" then return rows:split(body, from) end
    return rows:read(body, from, key)
  end)
  if behind_space(body, behind) <= #body then fail("something follows it", behind) end
  if found == nil then fail("it holds no rows: " .. FORMS) end
  if rows.n == 0 then fail(found .. " holds no row") end
  for place, column in ipairs(plan.columns) do
    if column.optional and rows.given[place] > 0 and rows.given[place] < rows.n then
      rows:trouble(nil, column.name, "stands in some rows only: send it in all of them, or in none")
    end
  end
  return rows
end

local function quoted(text)
  return '"' .. string.gsub(text, '[%c"\\]', function(letter) return string.format("\\u%04x", byte(letter)) end) .. '"'
end

local function sentence(trouble)
  local row = trouble.row and "row " .. trouble.row or nil
  local column = trouble.column and "column '" .. trouble.column .. "'" or nil
  return (row and column and row .. ", " .. column or row or column) .. " " .. trouble.what .. "."
end

local function told(rows)
  local parts = {}
  for number, one in ipairs(rows.troubles) do
    parts[number] = '{"row":' .. (one.row or "null") .. ',"column":' .. (one.column and quoted(one.column) or "null") .. ',"error":' .. quoted(one.what) .. "}"
  end
  local first = sentence(rows.troubles[1]) .. (rows.wrong > 1 and " (" .. rows.wrong .. (rows.wrong == ENOUGH and " faults or more)" or " faults)") or "")
  return '{"error":' .. quoted(first) .. ',"errors":[' .. table.concat(parts, ",") .. "]}"
end

local function refuse(handle, said)
  handle:headers():replace("@SAID@", "1")
  handle:respond({[":status"] = "400", ["content-type"] = "application/json"}, said)
end

function envoy_on_request(handle)
  local plan, buffer = handle:metadata():get("plan"), handle:body()
  local body = buffer and buffer:getBytes(0, buffer:length()) or ""
  local fine, rows
  if string.find(handle:headers():get("content-type") or "", "^%s*text/csv") then
    fine, rows = pcall(Rows.csv, new_rows(plan), body)
  else
    fine, rows = pcall(rows_of, body, plan)
  end
  if not fine and type(rows) == "table" and rows.rows then fine, rows = true, rows.rows end
  if not fine then
    local what = type(rows) == "table" and rows.what or "it can't be read"
    return refuse(handle, '{"error":' .. quoted("The body is no request for predictions: " .. what .. ".") .. "}")
  end
  if rows.wrong > 0 then return refuse(handle, told(rows)) end
  handle:headers():replace("content-length", tostring(buffer:setBytes(rows:tensors())))
  handle:headers():replace("content-type", "application/json")
  handle:headers():remove("inference-header-content-length")
  handle:headers():remove("accept-encoding")  -- servers compress answers
  handle:headers():replace(":path", "/v2/models/" .. plan.model .. "/infer")
end

local function tensor_at(body, at)
  local found = {data = {}}
  local behind = walk(body, at, function(key, from)
    if key == "data" then
      return walk(body, from, function(number, start)
        local ending
        found.data[number + 1], ending = raw_at(body, start)
        return ending
      end)
    end
    local raw, ending = raw_at(body, from)
    if key == "name" then found.name = raw
    elseif key == "shape" then found.rows = tonumber(string.match(raw, "%d+")) end
    return ending
  end)
  return found, behind
end

local function predictions_of(body, classes)
  local tensors = {}
  walk(body, (behind_space(body, 1)), function(key, at)
    if key ~= "outputs" then return select(2, value_at(body, at, 2)) end
    return walk(body, at, function(_, from)
      local behind
      tensors[#tensors + 1], behind = tensor_at(body, from)
      return behind
    end)
  end)
  local rows, found = tensors[1].rows, {}
  local alone = #tensors == 1 and tensors[1].name == '"prediction"' and #tensors[1].data == rows
  for row = 1, rows do
    local parts = {}
    for place, tensor in ipairs(tensors) do
      local width = #tensor.data / rows
      local from = (row - 1) * width
      local value = tensor.data[from + 1]
      if width ~= 1 then
        local named = tensor.name == '"probabilities"' and classes and #classes == width
        local cells = {}
        for at = 1, width do cells[at] = (named and classes[at] .. ":" or "") .. tensor.data[from + at] end
        value = (named and "{" or "[") .. table.concat(cells, ",") .. (named and "}" or "]")
      end
      parts[place] = alone and value or tensor.name .. ":" .. value
    end
    found[row] = alone and parts[1] or "{" .. table.concat(parts, ",") .. "}"
  end
  return '{"predictions":[' .. table.concat(found, ",") .. "]}"
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local plan = handle:metadata():get("plan")
  if plan == nil or headers:get(":status") ~= "200" then return end
  local classes = plan.classes[headers:get("x-updraft-revision") or ""]
  local body = handle:body()
  if body == nil then return end
  local fine, said = pcall(predictions_of, body:getBytes(0, body:length()), classes)
  headers = handle:headers()  -- reading the body ends the life of an earlier one
  if not fine then
    headers:replace(":status", "502")
    said = '{"error":"The model\'s answer holds no tensors of rows."}'
  end
  headers:replace("content-type", "application/json")
  headers:replace("content-length", tostring(body:setBytes(said)))
end
