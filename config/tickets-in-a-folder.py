#!/usr/bin/python3
"""A tracker for glia's [script]: tickets are JSON files in a folder.

It shows all that a script for another ticket system has to do. Replace load, save, find and create by calls of
that system, and map its states to open, resolved and closed.

    [tracker]
    kind = "script"
    [script]
    command = ["/usr/local/lib/glia/tickets-in-a-folder.py", "/srv/tickets"]

For each call glia runs the script with a JSON document on its standard input, and reads one from its standard
output. Calls with a key may be repeated, also after a crash in the middle: everything that was done is kept
together with its key, and done no second time. An exit code other than 0 means "not now": glia tries again later.

To resolve a ticket, set "status" to "resolved" and "resolution" to done, wont-do, duplicate or cannot-reproduce.
"""

import base64
import datetime
import fcntl
import json
import os
import sys

folder = sys.argv[1]
now = datetime.datetime.now(datetime.timezone.utc).isoformat()


def path(id):
    return os.path.join(folder, id + ".json")


def load(id):
    if not id.startswith("DISK-") or not id[5:].isdigit():
        return None
    try:
        with open(path(id), encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return None


def save(t):
    with open(path(t["id"]) + ".new", "w", encoding="utf-8") as f:
        json.dump(t, f, indent=2)
        f.flush()
        os.fsync(f.fileno())
    os.rename(path(t["id"]) + ".new", path(t["id"]))


def tickets():
    names = [n[:-5] for n in os.listdir(folder) if n.startswith("DISK-") and n.endswith(".json")]
    return sorted(names, key=lambda n: int(n[5:]))


def find(key):
    return next((id for id in tickets() if load(id)["key"] == key), None)


def create(r):
    last = tickets()[-1:] or ["DISK-0"]
    t = {"id": "DISK-%d" % (int(last[0][5:]) + 1), "key": r["key"], "case": r.get("case", ""), "title": r.get("title", ""),
         "body": r.get("body", ""), "status": "open", "resolution": "", "created_at": now, "updated_at": now,
         "comments": [], "files": [], "done": []}
    save(t)
    return t


def answer(r):
    verb = r["verb"]
    if verb == "find":
        return {"id": find(r["key"]) or ""}
    if verb == "file":  # glia has asked find before; this is for two that ask at once
        return {"id": find(r["key"]) or create(r)["id"]}
    t = load(r["id"])
    if t is None:
        return {"not_found": True}
    if verb == "read":
        return t
    if verb == "update":
        t["title"], t["body"] = r.get("title", ""), r.get("body", "")
    elif r["key"] not in t["done"]:
        t["done"].append(r["key"])
        if verb == "attach":
            t["files"].append({"name": r["name"], "text": base64.b64decode(r.get("data", "")).decode("utf-8", "replace")})
        elif verb in ("comment", "reopen", "close"):
            t["comments"].append({"at": now, "author": "glia", "text": r["text"]})
        else:
            return {"error": "unknown verb " + verb}
        if verb == "reopen":
            t["status"], t["resolution"], t["updated_at"] = "open", "", now
        if verb == "close":
            t["status"], t["updated_at"] = "closed", now
    save(t)
    return {"id": t["id"]}


with open(os.path.join(folder, ".lock"), "w", encoding="utf-8") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
