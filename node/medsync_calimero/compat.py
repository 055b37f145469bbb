"""The wire as of August 2026 (Calimero core, merobox 0.6.86, mero-js 13.2): every route in one table, with its shapes.

`answer` lists what stands inside `data`; `whole` marks answers without that envelope. What is not served is listed with
the reason. Handlers are functions of the modules that `door` assembles, by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SPOKEN: Final = "0.11.0-rc.79"  # the version of core whose wire this is


@dataclass(frozen=True, slots=True)
class Route:
    """One call. `request`: fields of its JSON body, `?` where one may lack; None: no JSON body is read."""

    method: str
    path: str
    handler: str
    request: tuple[str, ...] | None = None
    answer: tuple[str, ...] = ()
    whole: bool = False


def _r(call: str, handler: str, request: str | None = None, answer: str = "", whole: bool = False) -> Route:
    method, path = call.split()
    fields = None if request is None else tuple(request.split())
    return Route(method, "/admin-api" + path, handler, fields, tuple(answer.split()), whole)


G: Final = "/groups/{group}"
N: Final = "/namespaces/{group}"

ROUTES: Final = (
    _r("GET /health", "health", answer="status"),
    _r("GET /ready", "ready", answer="status"),
    _r("GET /is-authed", "is_authed", answer="status"),
    _r("GET /identity", "identity", answer="accountId publicKey accountRootPublicKey"),
    _r("GET /peers", "peers", answer="count", whole=True),
    _r("GET /network/status", "peers", answer="count", whole=True),
    _r("POST /install-dev-application", "install_dev", "path metadata? package? version?", "applicationId"),
    _r("POST /install-application", "install", "url? hash? metadata? package? version?", "applicationId"),
    _r("GET /applications", "applications", answer="apps"),
    _r("GET /applications/{application}", "application", answer="application"),
    _r("DELETE /applications/{application}", "uninstall", answer="applicationId"),
    _r("POST /namespaces", "create_namespace", "applicationId name? appKey? upgradePolicy?", "namespaceId"),
    _r("GET /namespaces", "namespaces"),
    _r(f"POST {N}/invite", "invite", "recursive? expirationTimestamp? role?", "invitation groupName?"),
    _r(f"POST {N}/join", "join", "invitation groupName?", "namespaceId memberIdentity memberAccount"),
    _r(f"POST {N}/leave", "leave_namespace", "", "namespaceId memberPublicKey"),
    _r(f"DELETE {N}", "delete_group", "", "isDeleted"),
    _r(f"GET {N}/groups", "namespace_groups"),
    _r(f"POST {N}/groups", "create_group", "groupName? visibility?", "groupId"),
    _r(f"GET {G}", "group", answer="groupId appKey targetApplicationId memberCount contextCount defaultCapabilities subgroupVisibility groupStateHash"),
    _r(f"DELETE {G}", "delete_group", "", "isDeleted"),
    _r(f"GET {G}/members", "members", answer="members", whole=True),
    _r(f"POST {G}/members", "add_members", "members", whole=True),
    _r(f"POST {G}/members/remove", "remove_members", "members", whole=True),
    _r(f"PUT {G}/members/{{member}}/role", "set_role", "role", whole=True),
    _r(f"PUT {G}/members/{{member}}/capabilities", "set_capabilities", "capabilities", whole=True),
    _r(f"GET {G}/members/{{member}}/capabilities", "get_capabilities", answer="capabilities"),
    _r(f"PUT {G}/members/{{member}}/auto-follow", "set_follow", "autoFollowContexts autoFollowSubgroups", whole=True),
    _r(f"PUT {G}/members/{{member}}/metadata", "set_member_metadata", "name? data", whole=True),
    _r(f"GET {G}/members/{{member}}/metadata", "get_member_metadata", answer="name data"),
    _r(f"PUT {G}/settings/default-capabilities", "set_default_capabilities", "defaultCapabilities", whole=True),
    _r(f"PUT {G}/settings/subgroup-visibility", "set_visibility", "subgroupVisibility", whole=True),
    _r(f"PUT {G}/metadata", "set_metadata", "name? data", whole=True),
    _r(f"GET {G}/metadata", "get_metadata", answer="name data"),
    _r(f"PUT {G}/contexts/{{context}}/metadata", "set_context_metadata", "name? data", whole=True),
    _r(f"GET {G}/contexts/{{context}}/metadata", "get_context_metadata", answer="name data"),
    _r(f"GET {G}/contexts", "group_contexts"),
    _r(f"GET {G}/subgroups", "subgroups", answer="subgroups", whole=True),
    _r(f"POST {G}/sync", "group", "", "groupId"),
    _r(f"POST {G}/leave", "leave_group", "", "groupId memberPublicKey"),
    _r(f"POST {G}/join-via-inheritance", "inherit", "", "groupId memberPublicKey wasInherited"),
    _r(f"POST {G}/reparent", "reparent", "newParentId", "reparented"),
    _r(f"POST {G}/transfer-ownership", "transfer", "newOwner", whole=True),
    _r("POST /contexts", "create_context", "applicationId contextSeed? initializationParams? groupId identitySecret? serviceName? name?", "contextId memberPublicKey groupId groupCreated"),
    _r("GET /contexts", "contexts", answer="contexts"),
    _r("GET /contexts/{context}", "context", answer="id applicationId contextStateHash groupId rootHash"),
    _r("DELETE /contexts/{context}", "delete_context", "", "isDeleted"),
    _r("POST /contexts/{context}/join", "join_context", "", "contextId memberPublicKey"),
    _r("POST /contexts/{context}/leave", "leave_context", "", "contextId memberPublicKey"),
    _r("POST /contexts/sync", "sync_all", ""),
    _r("POST /contexts/sync/{context}", "sync_context", ""),
    _r("POST /contexts/{context}/resync", "resync", "force?", "contextId resyncStarted"),
    _r("GET /contexts/{context}/identities", "identities", answer="identities"),
    _r("GET /contexts/{context}/identities-owned", "identities_owned", answer="identities"),
    _r("GET /contexts/{context}/storage", "storage", answer="sizeInBytes"),
    _r("GET /contexts/{context}/group", "context_group"),
    _r("POST /identity/context", "new_identity", "", "publicKey"),
    _r("PUT /blobs", "put_blob", answer="blob_id size"),
    _r("GET /blobs", "blobs", answer="blobs"),
    _r("GET /blobs/{blob}", "get_blob"),
    _r("HEAD /blobs/{blob}", "head_blob"),
    _r("DELETE /blobs/{blob}", "delete_blob", answer="blob_id deleted", whole=True),
    _r("POST /alias/create/context", "create_alias", "alias contextId"),
    _r("POST /alias/lookup/context/{alias}", "lookup_alias", "", "value"),
    _r("POST /alias/delete/context/{alias}", "delete_alias", ""),
    _r("GET /alias/list/context", "list_aliases"),
)  # fmt: skip

NOT_SERVED: Final = (
    ("/admin-api/tee/{rest:path}", "no trusted execution environment stands behind this node"),
    ("/admin-api/packages/{rest:path}", "packages are Python distributions here: install them where the node runs"),
    ("/admin-api/packages", "packages are Python distributions here: install them where the node runs"),
    ("/admin-api/groups/{group}/upgrade", "WASM is not run here, so there is none to upgrade"),
    ("/admin-api/groups/{group}/upgrade/{rest:path}", "WASM is not run here, so there is none to upgrade"),
    ("/admin-api/groups/{group}/migration/{rest:path}", "WASM is not run here, so its state is not migrated"),
    ("/admin-api/groups/{group}/cascade/{rest:path}", "applications are not upgraded by cascades here"),
    ("/admin-api/groups/{group}/signing-key", "a group's keys are the members' own and rotate by themselves"),
    ("/admin-api/groups/{group}/contexts/{context}/detach", "a context lives in its group, under the group's key"),
    ("/admin-api/contexts/{context}/application", "a context keeps the application that it was made with"),
    ("/admin-api/contexts/{context}/proposals", "proposals are our membership policies': see `medsync policy`"),
    ("/admin-api/contexts/{context}/proposals/{rest:path}", "proposals are our membership policies': see `medsync policy`"),
    ("/admin-api/accounts/{rest:path}", "an account is the node's member here: devices are added by `medsync`"),
    ("/admin-api/accounts", "an account is the node's member here: devices are added by `medsync`"),
    ("/admin-api/{rest:path}", "this call is not served by MedSync's emulator"),
)
"""(path, reason): answered 501 with the reason, whatever the method."""
