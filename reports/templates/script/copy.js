// Commands and code can be copied.

const SHORT = 40; // characters by which a button names what it copies

// Where a page may not write to the clipboard, the old way: what is selected is copied.
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = make("textarea", { class: "unseen", "aria-hidden": "true", tabindex: "-1" });
    field.value = text;
    (sheet.open ? sheet : document.body).append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

function copyButton(text) {
  const short = text.trim().split("\n")[0].slice(0, SHORT);
  const one = button("Copy", "tool copy", async () => {
    const said = (await copied(text)) ? "Copied" : "Not copied";
    one.textContent = said;
    one.focus();
    announce(`${said}: ${short}`);
    setTimeout(() => { one.textContent = "Copy"; }, 2000);
  });
  one.setAttribute("aria-label", `Copy: ${short}`);
  return one;
}

function copyTools(text) { return make("p", { class: "tools copies" }, copyButton(text)); }

function startCopies() {
  document.querySelectorAll("main .listing").forEach((box) => box.before(copyTools(box.textContent.trim())));
  document.querySelectorAll(".answer li > code").forEach((code) => code.after(" ", copyButton(code.textContent)));
}
