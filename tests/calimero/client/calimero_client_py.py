"""The client module that merobox imports, over plain HTTP: the names it uses, each a row of a table.

Its own package of this name is built from Rust. Errors are RuntimeError("Client error: …") and ValueError as there.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

SECONDS = 60.0
GROUP = "/groups/{group_id}"
MEMBER = GROUP + "/members/{member_id}"

CALLS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "get_node_identity": ("GET", "/identity", ()),
    "get_application": ("GET", "/applications/{app_id}", ()),
    "list_applications": ("GET", "/applications", ()),
    "uninstall_application": ("DELETE", "/applications/{app_id}", ()),
    "install_dev_application": ("POST", "/install-dev-application", ("path",)),
    "install_application": ("POST", "/install-application", ("package", "version")),
    "create_namespace": ("POST", "/namespaces", ("application_id", "name")),
    "list_namespaces": ("GET", "/namespaces", ()),
    "create_namespace_invitation": ("POST", "/namespaces/{namespace_id}/invite", ("recursive",)),
    "join_namespace": ("POST", "/namespaces/{namespace_id}/join", ("invitation",)),
    "leave_namespace": ("POST", "/namespaces/{namespace_id}/leave", ()),
    "delete_namespace": ("DELETE", "/namespaces/{namespace_id}", ()),
    "create_group_in_namespace": ("POST", "/namespaces/{namespace_id}/groups", ("group_name",)),
    "list_namespace_groups": ("GET", "/namespaces/{namespace_id}/groups", ()),
    "get_group_info": ("GET", GROUP, ()),
    "delete_group": ("DELETE", GROUP, ()),
    "leave_group": ("POST", GROUP + "/leave", ()),
    "sync_group": ("POST", GROUP + "/sync", ()),
    "list_group_contexts": ("GET", GROUP + "/contexts", ()),
    "list_subgroups": ("GET", GROUP + "/subgroups", ()),
    "reparent_group": ("POST", GROUP + "/reparent", ("new_parent_id",)),
    "join_subgroup_inheritance": ("POST", GROUP + "/join-via-inheritance", ()),
    "list_group_members": ("GET", GROUP + "/members", ()),
    "add_group_members": ("POST", GROUP + "/members", ("members",)),
    "remove_group_members": ("POST", GROUP + "/members/remove", ("members",)),
    "update_member_role": ("PUT", MEMBER + "/role", ("role",)),
    "set_member_capabilities": ("PUT", MEMBER + "/capabilities", ("capabilities",)),
    "get_member_capabilities": ("GET", MEMBER + "/capabilities", ()),
    "set_member_auto_follow": ("PUT", MEMBER + "/auto-follow", ("auto_follow_contexts", "auto_follow_subgroups")),
    "set_default_capabilities": ("PUT", GROUP + "/settings/default-capabilities", ("capabilities",)),
    "set_subgroup_visibility": ("PUT", GROUP + "/settings/subgroup-visibility", ("subgroup_visibility",)),
    "create_context": ("POST", "/contexts", ("application_id", "group_id", "params")),
    "list_contexts": ("GET", "/contexts", ()),
    "get_context": ("GET", "/contexts/{context_id}", ()),
    "delete_context": ("DELETE", "/contexts/{context_id}", ()),
    "join_context": ("POST", "/contexts/{context_id}/join", ()),
    "leave_context": ("POST", "/contexts/{context_id}/leave", ()),
    "sync_context": ("POST", "/contexts/sync/{context_id}", ()),
    "sync_all_contexts": ("POST", "/contexts/sync", ()),
    "generate_context_identity": ("POST", "/identity/context", ()),
    "list_blobs": ("GET", "/blobs", ()),
    "delete_blob": ("DELETE", "/blobs/{blob_id}", ()),
}  # fmt: skip
"""Method → (HTTP method, path, names of the body's fields; those in braces come first)."""

OTHER_NAMES = {
    "invitation_json": "invitation", "members_json": "members", "visibility": "subgroup_visibility",
}  # fmt: skip
"""Arguments that merobox calls otherwise than the wire does."""


def get_token_cache_dir() -> str:
    """Where merobox keeps tokens."""
    return str(Path.home() / ".merobox" / "auth_cache")


def get_token_cache_path(node_name: str) -> str:
    """One node's."""
    return str(Path(get_token_cache_dir()) / f"{node_name}.json")


def create_connection(api_url: str, node_name: str | None = None) -> tuple[str, str | None]:
    """What `create_client` takes."""
    return api_url.rstrip("/"), node_name


def create_client(connection: tuple[str, str | None]) -> Client:
    """A client."""
    return Client(*connection)


def sign_warrant(*arguments: Any) -> str:
    """Not spoken here."""
    raise RuntimeError("Client error: warrants are not supported")


class Client:
    """See the module."""

    def __init__(self, url: str, node_name: str | None) -> None:
        self._url, self._node = url, node_name

    def __getattr__(self, name: str) -> Any:
        if name not in CALLS:
            raise AttributeError(name)
        verb, path, fields = CALLS[name]
        slots = [part.partition("}")[0] for part in path.split("{")[1:]]

        def call(*given: Any, **named: Any) -> Any:
            values = dict(zip([*slots, *fields], given, strict=False))
            values |= {OTHER_NAMES.get(key, key): value for key, value in named.items()}
            where = path.format(**{slot: urllib.parse.quote(str(values[slot]), safe="") for slot in slots})
            body = {_camel(field): values[field] for field in fields if values.get(field) is not None}
            for field in ("invitation", "members"):
                if field in body:
                    body[field] = json.loads(body[field])
            if name == "set_default_capabilities":
                body["defaultCapabilities"] = body.pop("capabilities")
            if "params" in body:
                body["initializationParams"] = list(body.pop("params").encode())
            if name == "install_dev_application":
                body["metadata"] = []
            return self._json(verb, "/admin-api" + where, body if verb != "GET" else None)

        return call

    def set_group_metadata(self, group_id: str, body: Any) -> Any:
        """PUT it."""
        return self._json("PUT", f"/admin-api/groups/{group_id}/metadata", _object(body))

    def get_group_metadata(self, group_id: str) -> Any:
        """GET it."""
        return self._json("GET", f"/admin-api/groups/{group_id}/metadata", None)

    def execute_function(self, context_id: str, method: str, args: str) -> Any:
        """JSON-RPC; the answer's whole envelope."""
        params = {"contextId": context_id, "method": method, "argsJson": json.loads(args or "{}")}
        request = {"jsonrpc": "2.0", "id": "1", "method": "execute", "params": params}
        return self._json("POST", "/jsonrpc", request)

    def upload_blob(self, data: bytes, context_id: str | None = None) -> Any:
        """PUT the bytes."""
        query = "" if context_id is None else f"?context_id={context_id}"
        found: Any = json.loads(self._call("PUT", f"/admin-api/blobs{query}", bytes(data)))
        return found

    def download_blob(self, blob_id: str, context_id: str | None = None) -> bytes:
        """GET the bytes."""
        return self._call("GET", f"/admin-api/blobs/{blob_id}", None)

    def get_blob_info(self, blob_id: str) -> Any:
        """By what is listed."""
        return next((one for one in self.list_blobs()["data"]["blobs"] if one["blob_id"] == blob_id), None)

    def _json(self, verb: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        return json.loads(self._call(verb, path, data) or b"null")

    def _call(self, verb: str, path: str, data: bytes | None) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self._node is not None and os.path.exists(get_token_cache_path(self._node)):
            kept = json.loads(Path(get_token_cache_path(self._node)).read_text())
            headers["Authorization"] = f"Bearer {kept['access_token']}"
        request = urllib.request.Request(self._url + path, data, headers, method=verb)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"Client error: HTTP {error.code}: {error.read().decode(errors='replace')}") from error
        except urllib.error.URLError as error:
            raise RuntimeError(f"Client error: error sending request for url ({self._url}{path}): {error.reason}") from error


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _object(body: Any) -> Any:
    return json.loads(body) if isinstance(body, str) else body
