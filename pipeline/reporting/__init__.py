"""The pages that a reader opens: tables, pictures, curves and words, put together by the templates in reports/."""
