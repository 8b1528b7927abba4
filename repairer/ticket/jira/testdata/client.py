"""Works on an issue as a person's script would, by the client that Debian packages, and checks every answer."""

import io
import sys

from jira import JIRA, JIRAError

url, key = sys.argv[1:]


def refused(code, text, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except JIRAError as e:
        said = e.response.text.replace('\\"', '"')
        assert e.status_code == code and text in said, (e.status_code, said)
        return
    raise AssertionError("not refused: " + text)


try:
    JIRA(url, basic_auth=("glia", "wrong"), max_retries=0).myself()
    raise AssertionError("a wrong password was taken")
except JIRAError as e:
    assert e.status_code == 401, e.status_code

j = JIRA(url, token_auth="secret", max_retries=0)
assert j.myself()["name"] == "glia"
j = JIRA(url, basic_auth=("glia", "secret"), max_retries=0)
assert j.server_info()["deploymentType"] == "Server"
assert {f["name"] for f in j.fields()} >= {"Summary", "Data Centre"}
assert "High" in [p.name for p in j.priorities()]
assert j.project("OPS").name == "Operations"
refused(404, "No project", j.project, "NONE")

i = j.issue(key)
assert i.fields.summary == "Replace disk S1" and "body" in i.fields.description, i.raw
assert i.fields.status.name == "To Do" and i.fields.status.statusCategory.key == "new"
assert "glia" in i.fields.labels and i.fields.resolution is None
assert j.issue_property(key, "glia").value.case == "c1"
refused(404, "Issue Does Not Exist", j.issue, "OPS-99")

other = j.create_issue(project="OPS", issuetype={"name": "Task"}, summary="by hand", priority={"name": "Low"}, customfield_10010={"value": "ams2"})
assert other.fields.priority.name == "Low" and other.fields.customfield_10010.value == "ams2"
refused(400, "You must specify a summary", j.create_issue, project="OPS", issuetype={"name": "Task"}, summary="")
refused(400, "cannot be set", j.create_issue, project="OPS", issuetype={"name": "Task"}, summary="x", customfield_9="y")
other.update(fields={"summary": "by hand, again", "labels": ["glia"]})
assert j.issue(other.key).fields.summary == "by hand, again"

found = j.search_issues('project = OPS AND labels = "glia" ORDER BY created ASC')
assert [x.key for x in found] == [key, other.key], found
assert found.total == 2
refused(400, "Error in the JQL Query", j.search_issues, "no query at all")
refused(400, "does not exist for field 'key'", j.search_issues, "key in (OPS-77)")

j.add_comment(i, "no spare disk")
assert [c.body for c in j.comments(i)] == ["no spare disk"]
a = j.add_attachment(i, attachment=io.BytesIO(b"photo"), filename="photo.jpg")
assert a.get() == b"photo" and a.filename == "photo.jpg"

assert [t["name"] for t in j.transitions(i)] == ["To Do", "In Progress", "Done"]
refused(400, "Resolution is required", j.transition_issue, i, "Done")
j.transition_issue(i, "Done", fields={"resolution": {"name": "Won't Do"}})
i = j.issue(key)
assert i.fields.status.statusCategory.key == "done" and i.fields.resolution.name == "Won't Do" and i.fields.resolutiondate
