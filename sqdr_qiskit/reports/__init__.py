"""Records made readable: pages, figures and tables. Nothing here knows torch or Qiskit.

`tables` and `figures` turn plain values into what is shown, `page` says how all of it looks. Each page has a
file: of a run (`run_page`, its words in `run_summary`), of a transpilation (`transpile_page`, its tables and
words in `transpile_tables`), of runs side by side (`comparison_page`; what they establish: `comparison`), of
work on a device (`device_pages`); `variance` shows the gradient's.
"""
