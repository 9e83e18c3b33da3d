"""Temporary uploads: a policy, an object POST, and what `oss://` may stand for afterwards.

An object belongs to the account and the model its policy named, and is good for 48 hours
(protocol section 6). Only the size of an object is kept; it cannot be downloaded.
"""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from proxy.sandbox.answers import Answer, Payload, RefusalError
from proxy.sandbox.ask import Ask, fingerprint
from proxy.sandbox.files import object_store_refusal
from proxy.sandbox.outputs import beijing
from proxy.sandbox.prompts import strings
from proxy.sandbox.record import ReceivedRequest

POLICY_LIFE = 300
OBJECT_LIFE = 48 * 3600
MAX_FILE_MB = 1024

FORM_FIELDS = (
    "OSSAccessKeyId",
    "Signature",
    "policy",
    "key",
    "x-oss-object-acl",
    "x-oss-forbid-overwrite",
    "success_action_status",
)
"""What the object POST must carry beside the file."""

_NAME = re.compile(rb'\bname="([^"]*)"')
_BOUNDARY = re.compile(r'boundary="?([^";]+)"?')


@dataclass(frozen=True, slots=True)
class Policy:
    """Leave to upload under one directory, for one account and model."""

    account: str
    model: str
    directory: str
    text: str
    signature: str
    issued: float


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What came under a policy: how many bytes, and when."""

    policy: Policy
    size: int
    stored: float


class Uploads:
    """The policies given out and the objects that came. `host` is where objects are posted."""

    def __init__(self, host: Callable[[], str], clock: Callable[[], float]) -> None:
        self.objects: dict[str, StoredObject] = {}
        self._host = host
        self._clock = clock
        self._policies: dict[str, Policy] = {}

    def policy(self, ask: Ask) -> Payload:
        """`GET uploads?action=getPolicy&model=M`; the wrapper is `data`, not `output`."""
        model = ask.first("model")
        if ask.first("action") != "getPolicy" or not model:
            raise RefusalError(400, "InvalidParameter", "action=getPolicy and model are required.")
        policy = self._issue(ask.account, model, str(ask.fresh_id("upload")))
        return {
            "data": {
                "policy": policy.text,
                "signature": policy.signature,
                "upload_dir": policy.directory,
                "upload_host": self._host(),
                "expire_in_seconds": POLICY_LIFE,
                "max_file_size_mb": MAX_FILE_MB,
                "capacity_limit_mb": 10 * 1024,
                "oss_access_key_id": f"LTAI{fingerprint(ask.account)}",
                "x_oss_object_acl": "private",
                "x_oss_forbid_overwrite": "true",
            }
        }

    def _issue(self, account: str, model: str, fresh: str) -> Policy:
        now = self._clock()
        self._forget_old(now)
        day = beijing(now)[:10]
        directory = f"dashscope-instant/{fingerprint(account)}/{day}/{fresh}"
        terms = {
            "expiration": now + POLICY_LIFE,
            "conditions": [["starts-with", "$key", directory]],
        }
        text = base64.b64encode(json.dumps(terms).encode()).decode()
        signature = base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()  # noqa: S324 - a prop
        policy = Policy(account, model, directory, text, signature, now)
        self._policies[text] = policy
        return policy

    def _forget_old(self, now: float) -> None:
        """Both stand in order of time, so only the front can be old."""
        while self._policies and now > next(iter(self._policies.values())).issued + OBJECT_LIFE:
            del self._policies[next(iter(self._policies))]
        while self.objects and now > next(iter(self.objects.values())).stored + OBJECT_LIFE:
            del self.objects[next(iter(self.objects))]

    def store(self, received: ReceivedRequest) -> Answer:
        """The multipart POST to the object store; refusals are XML, like the real one's."""
        form = form_of(received)
        missing = [name for name in FORM_FIELDS if name not in form]
        if missing or "file" not in form:
            names = ", ".join([*missing, *(() if "file" in form else ("file",))])
            return object_store_refusal(400, "InvalidArgument", f"Missing form fields: {names}.")
        policy = self._policies.get(form["policy"])
        if policy is None or form["Signature"] != policy.signature:
            return object_store_refusal(403, "SignatureDoesNotMatch", "The signature is wrong.")
        return self._store_under(policy, form["key"], received.size)

    def _store_under(self, policy: Policy, key: str, size: int) -> Answer:
        if self._clock() > policy.issued + POLICY_LIFE:
            return object_store_refusal(403, "AccessDenied", "Policy expired.")
        if not key.startswith(f"{policy.directory}/"):
            return object_store_refusal(403, "AccessDenied", "The key is outside upload_dir.")
        if key in self.objects:
            return object_store_refusal(409, "FileAlreadyExists", "The object already exists.")
        if size > MAX_FILE_MB * 1024 * 1024:
            return object_store_refusal(400, "EntityTooLarge", "The file is too large.")
        self.objects[key] = StoredObject(policy, size, self._clock())
        return Answer(200, "application/octet-stream", ())

    def check(self, ask: Ask) -> None:
        """Refuse an input with an `oss://` URL that this call may not use; else do nothing."""
        urls = [said for said in strings(ask.input) if said.startswith("oss://")]
        if urls and not ask.resolves_objects:
            raise RefusalError(400, "InvalidParameter", "The provided URL does not appear valid.")
        for url in urls:
            self._check_object(ask, url.removeprefix("oss://"))

    def _check_object(self, ask: Ask, key: str) -> None:
        found = self.objects.get(key)
        if (
            found is None
            or (found.policy.account, found.policy.model) != (ask.account, ask.model)
            or self._clock() > found.stored + OBJECT_LIFE
        ):
            raise RefusalError(
                400, "InvalidParameter", "The oss url does not exist for this account and model."
            )


def form_of(received: ReceivedRequest) -> dict[str, str]:
    """The fields of a multipart body up to `file`, which must be last and whose value is "".

    Works on the part of the body that is held, so a large file costs nothing: it only has to
    begin there.
    """
    found = _BOUNDARY.search(received.header("Content-Type") or "")
    if found is None:
        return {}
    form: dict[str, str] = {}
    for part in received.body.split(b"--" + found[1].encode())[1:]:
        head, _, value = part.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if name is None:
            continue
        form[name[1].decode()] = "" if name[1] == b"file" else value[:-2].decode("utf-8", "replace")
        if name[1] == b"file":
            break
    return form
