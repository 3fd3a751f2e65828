"""The page of a model's server: what to send, as a command, and a form to try it."""

import html
import json
from string import Template
from typing import Any

from .serving import JSON_TYPE, Endpoint

PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: auto; padding: 1rem; }
pre, textarea { font: 13px/1.4 ui-monospace, monospace; background: #f4f4f4; padding: .7rem; }
pre { overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
textarea { width: 100%; box-sizing: border-box; height: 9rem; border: 1px solid #ccc; }
button { font: inherit; padding: .3rem 1rem; margin: .5rem 0; }
</style>
</head>
<body>
<h1>$title</h1>
<p>Send $what to <code>/predict</code>:</p>
<pre id="commands">$commands</pre>
$parameters
<h2>Try it</h2>
<form>
$file<textarea name="text" aria-label="body">$example</textarea>
<button>POST /predict</button>
</form>
<pre id="answer" aria-live="polite">The answer will be here.</pre>
<p><a href="docs">/docs</a> has all addresses, if the browser reaches the internet;
<a href="openapi.json">/openapi.json</a> has the same for programs. <a href="health">/health</a>,
<a href="ready">/ready</a> and <a href="metrics">/metrics</a> are for those who run the server.</p>
<script>
const form = document.querySelector("form"), answer = document.getElementById("answer");
const commands = document.getElementById("commands");
const address = new URL("predict", document.baseURI);
commands.textContent = commands.textContent.replaceAll("$address", address);
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const file = form.elements.file?.files[0];
  const type = file ? file.type || "application/octet-stream" : "$json_type";
  const options = { method: "POST", body: file || form.elements.text.value,
    headers: { "Content-Type": type } };
  try {
    const response = await fetch("predict", options);
    answer.textContent = response.status + "\\n" + JSON.stringify(await response.json(), null, 1);
  } catch (error) { answer.textContent = error; }
});
</script>
</body>
</html>
""")
ADDRESS = "http://localhost:8000/predict"  # the page puts its own in the place of it
FILE = '<p><label>A file: <input type="file" name="file"></label>, or else this JSON:</p>\n'


def make_page(task: str, endpoint: Endpoint) -> str:
    """The page as HTML. It needs nothing from elsewhere."""
    takes_files = len(endpoint.content) > 1
    example = json.dumps(endpoint.content[JSON_TYPE]["example"], ensure_ascii=False)
    commands = [f"curl {ADDRESS} --data-binary @FILE"] if takes_files else []
    commands.append(f"curl {ADDRESS} -H 'Content-Type: {JSON_TYPE}' -d '{escape_quotes(example)}'")
    return PAGE.substitute(
        title=html.escape(task),
        what="a file, or JSON" if takes_files else "JSON",
        commands=html.escape("\n\n".join(commands)),
        parameters="".join(map(describe, endpoint.parameters)),
        file=FILE if takes_files else "",
        example=html.escape(example),
        json_type=JSON_TYPE,
        address=ADDRESS,
    )


def escape_quotes(text: str) -> str:
    """The text as it stands between single quotes in a shell."""
    return text.replace("'", "'\\''")


def describe(parameter: Any) -> str:
    """A parameter as a paragraph."""
    use = f"/predict?{parameter['name']}={parameter['schema']['default']}"
    return f"<p><code>{html.escape(use)}</code> {html.escape(parameter['description'])}</p>\n"
