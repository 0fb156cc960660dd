export default {
  "pulse": "As of {at}",
  "pulse.never": "Nothing could be read yet",
  "loading": "Loading …",
  "unknown": "unknown",
  "javascript": "This page needs JavaScript to keep itself up to date.",
  "server.away": "The server does not answer.",
  "server.hangs": "The server has not answered within {seconds} seconds.",
  "server.session": "Airflow's session has ended. Log in and reload.",
  "server.forbidden": "You may not view plugins: ask an admin of Airflow for the right.",
  "server.may_not": "You may not do this: it needs an operator's rights in Airflow.",
  "server.answered": "{path} answered {status}.",
  "server.since": "{why} What you see is of {at}; the page goes on asking.",
  "dialog.leave": "Leave it",
  "dialog.why": "Say why: it is kept with your name.",
  "copy": "Copy",
  "copied": "Copied"
};
