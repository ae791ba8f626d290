-- The health of a SecretServerSession in Argo CD. It agrees with kstatus, which Flux and kubectl go by, and tells suspended sessions
-- apart besides. Argo CD opens the base and table libraries alone: there is no string library here.
local status = obj.status or {}

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  if condition.status == "True" or condition.type == "Ready" then
    conditions[condition.type] = condition
  end
end

local ready, reconciling, stalled = conditions.Ready, conditions.Reconciling, conditions.Stalled
local holdsToken = ready ~= nil and ready.status == "True"

-- What it means for pods is said besides, as long as they have a token.
local function health(code, message)
  if holdsToken and code ~= "Healthy" and status.tokenExpiresAt ~= nil then
    message = message .. " The target holds a token that is valid until " .. status.tokenExpiresAt .. "."
  end
  return { status = code, message = message }
end

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "The session is being deleted.")
end
if status.observedGeneration ~= obj.metadata.generation then
  return health("Progressing", "The operator has not looked at this generation of the session yet.")
end
if stalled ~= nil then
  return health("Degraded", stalled.reason .. ": " .. stalled.message)
end
if obj.spec.suspend == true then
  if holdsToken then
    return health("Suspended", "The session is suspended: nothing is renewed while spec.suspend is true.")
  end
  return health("Suspended", ready ~= nil and ready.message or "The session is suspended.")
end
if reconciling ~= nil then
  return health("Progressing", reconciling.reason .. ": " .. reconciling.message)
end
if holdsToken then
  return health("Healthy", ready.message)
end
if ready ~= nil then
  return health("Progressing", ready.reason .. ": " .. ready.message)
end
return health("Progressing", "The operator has not said anything of the session yet.")
